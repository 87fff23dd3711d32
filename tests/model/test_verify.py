from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from so8t_core.contract.errors import ModelError, ResourceError, UsageError
from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.contract.settings.model import ModelSettings, VerifySettings
from so8t_core.model import so8
from so8t_core.model import verify as verify_module
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.integrate import integrate
from so8t_core.model.loading import load_gated
from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.model.trial import Check
from so8t_core.model.verify import Verification, verify
from so8t_core.phases import integrate as integrate_phase
from so8t_core.phases import verify as verify_phase
from so8t_core.phases.base import HardPause, Outcome, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter

NAMES = [
    "identity_logits",
    "identity_tokens",
    "identity_generation",
    "cache",
    "orthogonality",
    "norm",
    "gate_gradient",
    "model_gradient",
    "save_and_load",
    "fold",
]


def verified(base: Path, tmp_path: Path, **settings: object) -> Verification:
    options = VerifySettings.model_validate({"device": "cpu", **settings})
    return verify(base, ModelSettings(), options, seed=3, workspace=tmp_path / "workspace")


def context(base: Path, root: Path) -> PhaseContext:
    settings = Settings.model_validate({"model": {"base": str(base)}, "verify": {"device": "cpu"}})
    run = RunDir(root / "run")
    return PhaseContext(run, "verify", settings, {}, RecordingEmitter(), OpenGate())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_check_passes_on_a_sound_base(tiny: Path, tmp_path: Path, dtype: str) -> None:
    result = verified(tiny, tmp_path, dtype=dtype)
    assert [check.name for check in result.checks] == NAMES
    assert result.failed == ()
    assert result.dtype == dtype
    assert not (tmp_path / "workspace").exists()


def test_what_must_be_exact_is_exact(tiny: Path, tmp_path: Path) -> None:
    values = {check.name: check.value for check in verified(tiny, tmp_path).checks}
    for name in ("identity_logits", "identity_tokens", "identity_generation", "save_and_load"):
        assert values[name] == 0.0
    assert values["fold"] < 1e-5


@pytest.mark.parametrize("parametrisation", ["cayley", "free"])
def test_the_other_parametrisations_pass_too(
    tiny: Path, tmp_path: Path, parametrisation: str
) -> None:
    settings = ModelSettings.model_validate({"gate": {"parametrisation": parametrisation}})
    result = verify(
        tiny, settings, VerifySettings(device="cpu"), seed=3, workspace=tmp_path / "workspace"
    )
    assert result.failed == ()


def test_a_base_with_gates_on_chosen_blocks_passes_too(tiny: Path, tmp_path: Path) -> None:
    settings = ModelSettings.model_validate({"gate": {"blocks": "1,6-7"}})
    options = VerifySettings(device="cpu", generate_tokens=2)
    result = verify(tiny, settings, options, seed=3, workspace=tmp_path / "workspace")
    assert result.failed == ()


def failed_names(base: Path, tmp_path: Path) -> list[str]:
    return [check.name for check in verified(base, tmp_path, generate_tokens=3).failed]


def test_a_transposed_fold_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = so8.rotate_rows
    monkeypatch.setattr(so8, "rotate_rows", lambda weight, r: right(weight, r.mT))
    assert failed_names(tiny, tmp_path) == ["fold"]


def test_a_start_away_from_the_identity_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scattered(gate: SO8TRotationGate) -> None:
        torch.nn.init.normal_(gate.theta, std=0.1)

    monkeypatch.setattr(SO8TRotationGate, "reset_parameters", scattered)
    assert "identity_logits" in failed_names(tiny, tmp_path)


def test_a_series_cut_too_early_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Neumann-like exponential of few terms is no rotation (the first attempt's row 2)."""

    def short(skewed: Tensor) -> Tensor:
        return skewed + skewed @ skewed / 2

    monkeypatch.setattr(so8, "exp_minus_identity", short)
    result = verified(tiny, tmp_path, generate_tokens=3)
    assert [check.name for check in result.checks] == NAMES
    assert {"orthogonality", "norm", "fold"} <= {check.name for check in result.failed}
    assert "no rotation" in result.checks[-1].meaning


def test_a_frozen_gate_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def halved(gate: SO8TRotationGate) -> Tensor:
        return so8.rotation(gate.theta.detach() * 0.5 + gate.theta * 0.5, gate.parametrisation)

    monkeypatch.setattr(SO8TRotationGate, "rotation", halved)
    assert failed_names(tiny, tmp_path) == ["model_gradient"]


def at_single_tokens(change: Callable[[SO8TRotationGate, Tensor], Tensor]) -> Any:
    """A gate's `forward` that does something else where a token comes alone: with the cache."""
    right = SO8TRotationGate.forward

    def forward(gate: SO8TRotationGate, hidden: Tensor) -> Tensor:
        turned = right(gate, hidden)
        return change(gate, turned) if hidden.shape[1] == 1 else turned

    return forward


def test_a_gate_that_turns_otherwise_with_the_cache_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = at_single_tokens(lambda gate, turned: so8.rotate(turned, gate.rotation()))
    monkeypatch.setattr(SO8TRotationGate, "forward", twice)
    assert failed_names(tiny, tmp_path) == ["cache"]


def test_a_gate_that_is_no_identity_with_the_cache_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stretched = at_single_tokens(lambda _, turned: turned * 1.000001)
    monkeypatch.setattr(SO8TRotationGate, "forward", stretched)
    assert failed_names(tiny, tmp_path) == ["identity_generation"]


def test_a_model_that_loads_otherwise_than_it_was_saved_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded_wrongly(*arguments: Any, **options: Any) -> Any:
        model = load_gated(*arguments, **options)
        with torch.no_grad():
            model.model.norm.weight[3] *= 1.00001
        return model

    monkeypatch.setattr(verify_module, "load_gated", loaded_wrongly)
    assert failed_names(tiny, tmp_path) == ["save_and_load"]


def test_a_wrong_derivative_of_the_rotation_is_caught(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = so8.rotation

    def halved(theta: Tensor, parametrisation: str) -> Tensor:
        return right(theta.detach() * 0.5 + theta * 0.5, parametrisation)

    monkeypatch.setattr(so8, "rotation", halved)
    assert failed_names(tiny, tmp_path) == ["gate_gradient", "model_gradient"]


def test_what_is_no_number_passes_no_check() -> None:
    check = Check("norm", float("nan"), 1.0, "")
    assert not check.passed
    assert check.as_figures()["value"] is None
    assert Check("norm", 1.0, 1.0, "").passed


def test_a_checkpoint_that_was_written_wrongly_is_not_passed_on(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scattered(gate: SO8TRotationGate) -> None:
        torch.nn.init.normal_(gate.theta, std=1e-3)

    monkeypatch.setattr(SO8TRotationGate, "reset_parameters", scattered)
    with pytest.raises(ModelError, match="differs from its base by"):
        integrate_phase.run(dataclasses.replace(context(tiny, tmp_path), phase="integrate"))


def test_a_base_whose_shard_is_not_the_one_on_record_is_not_verified(
    tiny: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny, tmp_path / "base")
    record = {"shards": {"model.safetensors": "0" * 64}}
    (tmp_path / "base" / "integration.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="whose hash is on record"):
        verified(tmp_path / "base", tmp_path)
    assert not (tmp_path / "workspace").exists()


@pytest.mark.parametrize("work", ["verify", "integrate", "fold"])
def test_without_room_on_the_disk_nothing_is_begun(
    tiny: Path, gated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    begin = {
        "verify": lambda: verified(tiny, tmp_path),
        "integrate": lambda: integrate(tiny, tmp_path / "out", ModelSettings()),
        "fold": lambda: fold_checkpoint(gated, tmp_path / "out"),
    }
    full = shutil.disk_usage(tmp_path)._replace(free=64 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    monkeypatch.setattr(verify_module, "load_base", None)  # verify's own fold would find out later
    with pytest.raises(ResourceError, match="of disk and"):
        begin[work]()
    assert not list(tmp_path.iterdir())


def test_a_base_without_tokenizer_is_verified_on_random_tokens(tiny: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny / name, bare)
    result = verified(bare, tmp_path)
    assert result.failed == ()
    assert not result.prompts_from_tokenizer
    notes = verify_phase.run(context(bare, tmp_path)).notes
    assert "no tokenizer" in notes[0]


def test_the_phase_writes_the_table_and_repeats_its_digest(tiny: Path, tmp_path: Path) -> None:
    ctx = context(tiny, tmp_path)
    first = verify_phase.run(ctx)
    table = json.loads((ctx.folder / "verification.json").read_text())
    assert [check["name"] for check in table["checks"]] == NAMES
    assert table["checks_passed"] == table["checks_total"] == len(NAMES)
    assert dict(first.figures) == table
    again = verify_phase.run(context(tiny, tmp_path / "elsewhere"))
    assert again.digest == first.digest
    assert first.extra_inputs["base_model"] == table["base_digest"]


def test_the_phase_refuses_to_go_on_where_a_check_fails(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = so8.rotate_rows
    monkeypatch.setattr(so8, "rotate_rows", lambda weight, r: right(weight, r.mT))
    ctx = context(tiny, tmp_path)
    with pytest.raises(ModelError, match="1 of 10 checks failed, the first fold"):
        verify_phase.run(ctx)
    table = json.loads((ctx.folder / "verification.json").read_text())
    assert [check["name"] for check in table["checks"] if not check["passed"]] == ["fold"]


class HardGate(OpenGate):
    """Asks for a hard pause at its n-th point."""

    def __init__(self, at: int) -> None:
        self.left = at

    def point(self, save: Callable[[], None] | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise HardPause


@pytest.mark.parametrize("at", [1, 4, 9, 14])
def test_a_hard_pause_leaves_no_copies_and_the_next_run_is_whole(
    tiny: Path, tmp_path: Path, at: int
) -> None:
    ctx = context(tiny, tmp_path)
    with pytest.raises(HardPause):
        verify_phase.run(dataclasses.replace(ctx, pause=HardGate(at)))
    assert not (ctx.folder / "workspace").exists()
    # a kill may leave one behind
    (ctx.folder / "workspace" / "gated").mkdir(parents=True)
    (ctx.folder / "workspace" / "gated" / "model.safetensors").write_bytes(b"half")
    assert verify_phase.run(ctx).digest == verify_phase.run(context(tiny, tmp_path / "b")).digest
    assert sorted(path.name for path in ctx.folder.iterdir()) == ["verification.json"]


def after(ctx: PhaseContext, proven: Outcome) -> PhaseContext:
    """The integrate phase's context, given what the verify phase proved."""
    manifest = Manifest(
        phase="verify",
        run="run",
        settings_sha256="",
        inputs={},
        digest=proven.digest,
        outputs=(),
        figures=dict(proven.figures),
        attempt=1,
        started_at=utc_now(),
        finished_at=utc_now(),
        active_s=0.0,
    )
    return dataclasses.replace(ctx, phase="integrate", inputs={"verify": manifest})


def test_a_base_that_changed_since_it_was_verified_is_not_integrated(
    tiny: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    ctx = context(base, tmp_path)
    given = after(ctx, verify_phase.run(ctx))
    tensors = load_file(base / "model.safetensors")
    save_file({name: value * 2 for name, value in tensors.items()}, base / "model.safetensors")
    with pytest.raises(ModelError, match="changed after it was verified") as refused:
        integrate_phase.run(given)
    assert refused.value.hint is not None
    assert "so8t verify --run run" in refused.value.hint
    assert not given.folder.exists()


def test_the_integrate_phase_records_the_verification_and_finds_no_difference(
    tiny: Path, tmp_path: Path
) -> None:
    ctx = context(tiny, tmp_path)
    proven = verify_phase.run(ctx)
    given = after(ctx, proven)
    outcome = integrate_phase.run(given)
    assert outcome.figures["logit_difference"] == 0.0
    checkpoint = given.folder / "checkpoint"
    assert {path.parent for path in outcome.outputs} == {checkpoint}
    written = json.loads((checkpoint / "integration.json").read_text())
    assert written["verification"]["checks_passed"] == len(NAMES)
    assert outcome.extra_inputs["base_model"] == proven.extra_inputs["base_model"]
    assert integrate_phase.run(given).digest == outcome.digest


def changed(base: Path, tmp_path: Path, file: str, **values: object) -> Path:
    """A copy of the base whose JSON file of that name has other values."""
    shutil.copytree(base, tmp_path / "base")
    path = tmp_path / "base" / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return tmp_path / "base"


def test_generation_is_greedy_whatever_the_base_asks_for(tiny: Path, tmp_path: Path) -> None:
    """Each of these made `generate` do something else, or end in an error of its own."""
    asked = {"num_beams": 4, "stop_strings": ["a"], "penalty_alpha": 0.6, "dola_layers": "low"}
    more = {"num_beam_groups": 2, "cache_implementation": "quantized", "eos_token_id": [1, 2]}
    base = changed(tiny, tmp_path, "generation_config.json", **asked, **more)
    assert verified(base, tmp_path, generate_tokens=2).failed == ()


def test_a_base_that_asks_for_eager_attention_is_loaded_again_with_it(
    tiny: Path, tmp_path: Path
) -> None:
    base = changed(tiny, tmp_path, "config.json", attn_implementation="eager")
    assert verified(base, tmp_path, generate_tokens=2).failed == ()


def test_a_base_that_asks_for_other_outputs_is_verified(tiny: Path, tmp_path: Path) -> None:
    asked = {"return_dict": False, "output_attentions": True, "output_hidden_states": True}
    base = changed(tiny, tmp_path, "config.json", **asked)
    assert verified(base, tmp_path, generate_tokens=2).failed == ()


def test_a_base_that_asks_for_what_is_not_installed_is_refused(tiny: Path, tmp_path: Path) -> None:
    base = changed(tiny, tmp_path, "config.json", attn_implementation="flash_attention_2")
    with pytest.raises(ModelError, match="cannot be loaded"):
        verified(base, tmp_path)


@pytest.mark.parametrize(
    ("prompt", "what"),
    [("", "has 0 token"), ("a", "has 1 token"), ("\ud800 x", "no Unicode text")],
    ids=["empty", "short", "surrogate"],
)
def test_a_prompt_that_proves_nothing_is_refused(
    tiny: Path, tmp_path: Path, prompt: str, what: str
) -> None:
    with pytest.raises(UsageError, match=what) as refused:
        verified(tiny, tmp_path, prompts=["The capital", prompt])
    assert refused.value.where == repr(prompt)


@pytest.mark.parametrize(
    ("file", "content"),
    [("generation_config.json", "[]"), ("tokenizer.json", "[]"), ("tokenizer_config.json", "[]")],
)
def test_a_base_with_a_damaged_file_beside_its_weights_is_refused(
    tiny: Path, tmp_path: Path, file: str, content: str
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    (base / file).write_text(content)
    with pytest.raises(ModelError, match=r"cannot be (loaded|read)"):
        verify(base, ModelSettings(), VerifySettings(), seed=1, workspace=tmp_path / "copies")


def test_a_base_with_nan_is_refused_before_any_check(tiny: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    tensors = load_file(base / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"model\.norm\.weight holds NaN"):
        verify(base, ModelSettings(), VerifySettings(), seed=1, workspace=tmp_path / "copies")
