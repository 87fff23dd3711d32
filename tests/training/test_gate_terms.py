from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.training.figures import rotation_notes
from so8t_core.training.gate_terms import Gate, GateTerms
from so8t_core.training.series import read_series
from tests.training.trial import context, make_model, make_run, train


def terms(parametrisation: str, orthogonality: float, size: float, spread: float) -> GateTerms:
    torch.manual_seed(0)
    module = SO8TRotationGate(16, parametrisation)
    with torch.no_grad():
        module.theta += spread * torch.randn_like(module.theta)
    return GateTerms([Gate("gate", module)], orthogonality, size)


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_orthogonal_by_construction_has_no_penalty_and_is_still_reported(
    parametrisation: str,
) -> None:
    one = terms(parametrisation, 0.01, 0.0, 0.3)
    assert one.penalty() is None
    assert 0 <= one.measure()["orthogonality"] < 1e-10
    assert one.measure()["rotation_angle_mean"] > 0.1


def test_free_matrices_are_pulled_towards_rotations() -> None:
    one = terms("free", 0.01, 0.0, 0.1)
    penalty = one.penalty()
    assert penalty is not None
    matrices = one.gates[0].module.theta.detach().double()
    expected = sum(float(((m.T @ m - torch.eye(8)) ** 2).sum()) for m in matrices) / len(matrices)
    assert penalty.item() == pytest.approx(0.01 * expected, rel=1e-5)
    penalty.backward()
    assert one.gates[0].module.theta.grad is not None
    assert one.gates[0].module.theta.grad.abs().sum() > 0


def test_the_size_penalty_is_the_squared_norm_of_the_skew_matrices() -> None:
    from so8t_core.model.so8 import skew

    one = terms("exp", 0.0, 2.0, 0.3)
    penalty = one.penalty()
    assert penalty is not None
    expected = skew(one.gates[0].module.theta).square().sum((-2, -1)).mean().item()
    assert penalty.item() == pytest.approx(2.0 * expected, rel=1e-6)


def test_the_reported_angle_is_that_of_a_rotation_of_all_planes_alike() -> None:
    module = SO8TRotationGate(8)
    upper = {pair: n for n, pair in enumerate((i, j) for i in range(8) for j in range(i + 1, 8))}
    with torch.no_grad():
        for plane in range(4):
            module.theta[0, upper[2 * plane, 2 * plane + 1]] = 0.7
    one = GateTerms([Gate("gate", module)], 0.0, 0.0)
    assert one.measure()["rotation_angle_mean"] == pytest.approx(0.7, rel=1e-5)
    assert one.summary()["rotation_angle_mean_rad"] == pytest.approx(0.7, rel=1e-5)
    assert one.summary()["rotation_angle_max_rad"] < math.pi


@pytest.mark.parametrize(
    ("parametrisation", "norm", "said"),
    [("exp", 1.0, False), ("exp", 1000.0, True), ("cayley", 1000.0, False), ("free", 2.0, False)],
)
def test_gates_that_left_the_range_are_said(parametrisation: str, norm: float, said: bool) -> None:
    one = terms(parametrisation, 0.0, 0.0, norm)
    notes = rotation_notes(one.summary(), free=one.free)
    assert [("no rotations any more" in note) for note in notes] == [True] * said


def test_each_layer_has_its_own_angle_under_its_own_number() -> None:
    near, far = SO8TRotationGate(16), SO8TRotationGate(16)
    with torch.no_grad():
        far.theta += 0.4
    gates = [
        Gate(f"model.layers.{n}.self_attn.rotation_gate", m) for n, m in ((3, near), (12, far))
    ]
    measured, layers = GateTerms(gates, 0.0, 0.0).measure_with_layers()
    assert layers.keys() == {"rotation_angle.3", "rotation_angle.12"}
    assert layers["rotation_angle.3"] == 0.0
    mean = (layers["rotation_angle.3"] + layers["rotation_angle.12"]) / 2
    assert measured["rotation_angle_mean"] == pytest.approx(mean)
    assert measured == GateTerms(gates, 0.0, 0.0).measure()


def test_without_gates_there_is_nothing_to_report() -> None:
    assert GateTerms([], 0.01, 1.0).penalty() is None
    assert GateTerms([], 0.01, 1.0).measure() == {}


@pytest.mark.parametrize("packing", [False, True])
def test_every_term_counts_once_a_step_however_it_is_cut(tmp_path: Path, packing: bool) -> None:
    """The seed's term of free gates, the size of rotations, PET and the cross-entropy."""
    model = make_model(tmp_path / "model", "free")
    courses = []
    for name, micro, accumulation in (("many", 1, 6), ("one", 6, 1)):
        root = make_run(tmp_path / name, model)
        settings = {
            "base_storage": "float32",
            "optimizer": "adamw",
            "lora_dropout": 0.0,
            "max_steps": 4,
            "packing": packing,
            "orthogonality_weight": 0.5,
            "rotation_size_weight": 0.25,
            "pet_weight": 0.125,
            "micro_batch_size": micro,
            "accumulation_steps": accumulation,
        }
        train(context(root, **settings))
        courses.append(list(read_series(root / "train" / "series.jsonl")))
    before = 0.0  # of the gates' terms, which the step before left
    for line, same in zip(*courses, strict=True):
        parts = line["task_loss"] + line["pet_weight"] * line["pet"] + before
        assert line["loss"] == pytest.approx(parts, rel=1e-5)
        for term in ("loss", "task_loss", "orthogonality", "rotation_size", "pet", "grad_norm"):
            assert line[term] == pytest.approx(same[term], rel=1e-5)
        before = 0.5 * line["orthogonality"] + 0.25 * line["rotation_size"]
    assert before > 1e-4
