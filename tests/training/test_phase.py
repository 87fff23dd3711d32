from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from so8t_core.contract.errors import (
    CheckpointError,
    InputMissing,
    ModelError,
    PhaseError,
    So8tError,
)
from so8t_core.phases.base import HardPause
from so8t_core.training.base_model import load_own_tokenizer
from so8t_core.training.dataset import RunOrder
from so8t_core.training.history import HistoryFile
from so8t_core.training.preparation import encode_data
from so8t_core.training.series import read_series
from tests.training.trial import OLDER_NAME, PlannedGate, context, make_model, said, train

NewRun = Callable[[str], Path]


def series(root: Path) -> bytes:
    """All lines of both series of a run."""
    return b"".join(
        (root / "train" / name).read_bytes() for name in ("series.jsonl", "evaluations.jsonl")
    )


def test_every_step_and_evaluation_is_in_the_series(straight: Any) -> None:
    root, outcome, ctx = straight
    steps = list(read_series(root / "train" / "series.jsonl"))
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert {
        "loss",
        "task_loss",
        "learning_rate",
        "gate_learning_rate",
        "grad_norm",
        "tokens",
    } <= set(steps[0])
    evaluations = list(read_series(root / "train" / "evaluations.jsonl"))
    assert [line["step"] for line in evaluations] == [0, 3, 6, 7]
    figures = outcome.figures
    assert figures["tokens"] == sum(line["tokens"] for line in steps)
    assert (figures["first_loss"], figures["final_loss"]) == (steps[0]["loss"], steps[-1]["loss"])
    assert figures["final_eval_loss"] == evaluations[-1]["eval_loss"] < evaluations[0]["eval_loss"]
    told = [event["values"]["loss"] for event in said(ctx, "metric") if "loss" in event["values"]]
    assert told == [line["loss"] for line in steps]


def test_tokens_and_targets_are_counted_as_the_samples_have_them(
    straight: Any, model: Path
) -> None:
    _, outcome, ctx = straight
    settings = ctx.settings.train
    tokenizer = load_own_tokenizer(model)
    folder, seed = ctx.input_folder("cleanse"), ctx.settings.seed
    data = encode_data(settings, tokenizer, folder, seed, int, lambda *_: None)
    per_step = settings.micro_batch_size * settings.accumulation_steps
    order = RunOrder(len(data.train), settings.max_steps * per_step, ctx.settings.seed)
    seen = [data.train[index] for index in order]
    assert outcome.figures["tokens"] == sum(len(sample.ids) for sample in seen)
    # nothing predicts a first token
    assert outcome.figures["target_tokens"] == sum(sum(sample.learnt[1:]) for sample in seen)


def test_the_base_is_8_bit_and_only_lora_and_gates_are_trained(straight: Any) -> None:
    _, outcome, _ = straight
    dtypes = outcome.figures["weight_dtypes"]
    assert dtypes["model.layers.*.mlp.down_proj.base_layer.weight"] == "int8"
    assert dtypes["lm_head.weight"] == "float32"
    width, rank, layers = 64, 64, 4
    outputs = {"qkv": 64 + 2 * 32, "o": 64, "gate_up": 256}
    lora = layers * rank * (sum(width + out for out in outputs.values()) + 128 + width)
    assert outcome.figures["lora_parameters"] == lora
    assert outcome.figures["gate_parameters"] == layers * (width // 8) * 28


@OLDER_NAME
def test_the_adapter_loads_with_peft_and_its_gates_have_moved(straight: Any, model: Path) -> None:
    root, outcome, _ = straight
    folder = root / "train" / "adapter"
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = base(ids).logits
        adapted = PeftModel.from_pretrained(base, str(folder))
        after = adapted(ids).logits
    assert not torch.equal(before, after)
    gates = load_file(folder / "gates.safetensors")
    assert len(gates) == 4
    for name, theta in gates.items():
        assert theta.dtype == torch.float32
        assert theta.abs().max() > 0
        loaded = adapted.get_submodule("base_model.model." + name.removesuffix(".theta"))
        assert torch.equal(loaded.modules_to_save["default"].theta, theta)
    assert outcome.figures["rotation_angle_mean_rad"] > 0
    assert not any(path.suffix in {".bin", ".pt", ".pth"} for path in (root / "train").rglob("*"))
    assert str(root) not in (folder / "adapter_config.json").read_text()


# peft asks transformers by its old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_adapter_s_config_names_its_base_as_seen_from_its_folder(
    straight: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the card says of PEFT's own loader, which looks from the current directory."""
    folder = straight[0] / "train" / "adapter"
    monkeypatch.chdir(folder)
    assert 'AutoPeftModelForCausalLM.from_pretrained("."' in Path("README.md").read_text()
    named = AutoPeftModelForCausalLM.from_pretrained(".", dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    given = PeftModel.from_pretrained(base, ".")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(named(ids).logits, given(ids).logits)


def test_a_hard_pause_anywhere_changes_nothing(straight: Any, new_run: NewRun) -> None:
    whole, outcome, _ = straight
    root = new_run("paused")
    # in the first evaluation, in the middle of an accumulation, in a later evaluation
    for point, expected in ((2, 0), (8, 1), (9, 3)):
        ctx = context(root, PlannedGate(pause_at=point))
        with pytest.raises(HardPause):
            train(ctx)
        newest = max((root / "train" / "checkpoints").iterdir())
        assert newest.name == f"step-{expected:08d}"
    ctx = context(root)
    assert train(ctx).digest == outcome.digest
    assert series(root) == series(whole)
    assert said(ctx, "rewound") == [{"step": 3}]


def test_a_finished_training_run_again_gives_the_same_without_training(straight: Any) -> None:
    root, outcome, _ = straight
    before = series(root)
    ctx = context(root)
    again = train(ctx)
    assert again.digest == outcome.digest
    assert again.figures["resumes"] > 0
    assert series(root) == before
    assert said(ctx, "metric") == []


def test_damaged_checkpoints_and_other_settings(straight: Any, new_run: NewRun) -> None:
    """A damaged newest checkpoint is passed over; one of other settings is refused by name."""
    whole, outcome, _ = straight
    root = new_run("damaged")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=28)))
    newest = max((root / "train" / "checkpoints").iterdir())
    (newest / "weights.safetensors").write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"train\.learning_rate \(checkpoint: 0\.001, now: 0\.5"
    ):
        train(context(root, learning_rate=0.5))
    assert train(context(root, save_every_steps=3)).digest == outcome.digest
    assert series(root) == series(whole)
    resumed = context(root)
    result = train(resumed)
    assert result.figures["rejected_checkpoints"] == 1
    assert any("damaged checkpoint" in note for note in result.notes)


def test_a_damaged_curve_costs_the_curve_and_not_the_training(
    straight: Any, new_run: NewRun
) -> None:
    whole, outcome, _ = straight
    root = new_run("curveless")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=28)))
    file = root / "train" / "series.jsonl"
    before = file.read_bytes()
    file.write_bytes(before.replace(b'"step":2', b'"step":7'))
    (root / "train" / "evaluations.jsonl").unlink()
    ctx = context(root)
    result = train(ctx)
    assert result.digest == outcome.digest
    assert said(ctx, "rewound") == [{"step": 6}]
    # what follows is what it would have been
    lines = (whole / "train" / "series.jsonl").read_bytes().splitlines(keepends=True)
    assert file.read_bytes() == b"".join(lines[6:])
    assert file.with_name("series.jsonl.damaged").read_bytes() != before
    told = [event["what"] for event in said(ctx, "fallback")]
    assert told == [f"{name}.jsonl begins anew after step 6" for name in ("series", "evaluations")]
    assert sum("training itself is whole" in note for note in result.notes) == 2
    for name in ("first_loss", "first_eval_loss"):
        assert result.figures[name] is None
    for name in ("steps", "final_loss", "final_eval_loss", "rejected_checkpoints"):
        assert result.figures[name] == outcome.figures[name]


def test_that_every_checkpoint_is_gone_is_said_aloud(straight: Any, new_run: NewRun) -> None:
    whole, outcome, _ = straight
    root = new_run("emptied")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=28)))
    shutil.rmtree(root / "train" / "checkpoints")
    ctx = context(root)
    result = train(ctx)
    assert result.digest == outcome.digest
    assert series(root) == series(whole)
    (told,) = [e["message"] for e in said(ctx, "log") if "none is left" in e["message"]]
    assert str(root / "train" / "checkpoints") in told
    assert any("began again at step 0" in note for note in result.notes)


@pytest.mark.parametrize(
    "damage", [b"{torn", b"[]", b'{"starts": "many"}', b"\xff", b'{"threads": -1}', b"{}"]
)
def test_a_history_that_cannot_be_trusted_begins_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "history.json"
    path.write_bytes(damage)
    history = HistoryFile(path)
    assert (history.damage is None) == (damage == b"{}")
    assert history.now.threads is None
    history.change(starts=history.now.starts + 1, threads=2, rejected_checkpoints=("step-1",))
    again = HistoryFile(path)
    assert again.damage is None
    assert again.now == history.now


def test_a_damaged_history_changes_no_result(straight: Any, new_run: NewRun) -> None:
    whole, outcome, _ = straight
    root = new_run("forgetful")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=28), threads=None))
    (root / "train" / "history.json").write_text('{"starts": 1, "thr')
    # another machine's own choice: the checkpoint knows what the training began with
    torch.set_num_threads(2)
    ctx = context(root, threads=None)
    assert train(ctx).digest == outcome.digest
    assert series(root) == series(whole)
    assert [event for event in said(ctx, "fallback") if "new history" in event["what"]]
    assert said(ctx, "rewound")


def test_soft_pauses_checkpoints_by_time_and_the_size_penalty(
    straight: Any, new_run: NewRun
) -> None:
    """Holding and saving by the clock change no number; the penalty counts once a step, not once a batch."""
    _, outcome, _ = straight
    timed = context(
        new_run("timed"), PlannedGate(hold_s=0.001), save_every_steps=100, save_every_s=1e-6
    )
    assert train(timed).digest == outcome.digest
    assert [event["reason"] for event in said(timed, "checkpoint")] == ["time"] * 6 + ["end"]

    root = new_run("penalty")
    result = train(context(root, rotation_size_weight=0.5, max_steps=3))
    assert result.digest != outcome.digest
    last = list(read_series(root / "train" / "series.jsonl"))
    for before, now in zip(last, last[1:], strict=False):
        added = now["loss"] - now["task_loss"]
        assert added == pytest.approx(0.5 * before["rotation_size"], rel=1e-2, abs=1e-6)
    assert last[1]["rotation_size"] > 0


def test_a_loss_that_is_not_finite_stops_with_its_step(new_run: NewRun) -> None:
    ctx = context(
        new_run("exploding"), learning_rate=1e12, gate_learning_rate=1e12, max_grad_norm=1e12
    )
    with pytest.raises(PhaseError, match=r"of step \d is (nan|inf)"):
        train(ctx)


def test_free_gates_feel_the_orthogonality_term(
    tmp_path: Path, new_run: NewRun, model: Path
) -> None:
    free = make_model(tmp_path / "free", "free")
    weak, strong = (
        train(
            context(
                new_run(f"w{weight}"),
                model_path=free,
                orthogonality_weight=weight,
                gate_learning_rate=1e-2,
            )
        )
        for weight in (0.0, 10.0)
    )
    assert strong.figures["orthogonality_error_max"] < 0.5 * weak.figures["orthogonality_error_max"]
    assert "base_model" in strong.extra_inputs


def test_what_cannot_be_trained_is_named(new_run: NewRun, tmp_path: Path, model: Path) -> None:
    root = new_run("bad")
    cases: list[tuple[type[So8tError], str, dict[str, Any]]] = [
        (ModelError, "no linear named q_proj", {"lora_targets": ("q_proj", "o_proj")}),
        (ModelError, "no linear named lm_head", {"lora_targets": ("lm_head",)}),
        (ModelError, "no SO\\(8\\) gates", {"model_path": model.parent / "base"}),
        (InputMissing, "no model to train", {"model_path": tmp_path / "nowhere"}),
        (InputMissing, "data set is not there", {"dataset": tmp_path / "nowhere.jsonl"}),
        (So8tError, "NF4 weights needs a GPU", {"base_storage": "nf4"}),
    ]
    for kind, message, settings in cases:
        with pytest.raises(kind, match=message):
            train(context(root, **settings))
    bare = make_model(tmp_path / "bare")
    for path in bare.glob("*token*"):
        path.unlink()
    with pytest.raises(InputMissing, match="no tokenizer"):
        train(context(root, model_path=bare))


def test_a_data_set_of_ones_own_holds_some_rows_out(tmp_path: Path, new_run: NewRun) -> None:
    path = tmp_path / "own.jsonl"
    rows = [{"prompt": f"{n}とは", "completion": f"{n}です。"} for n in range(20)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    outcome = train(context(new_run("own"), dataset=path, validation_fraction=0.2, max_steps=2))
    assert outcome.figures["samples"] == 16
    assert outcome.figures["samples_held_out"] == 4
    assert outcome.figures["sources"]["file"]["rows"] == 16
    assert "dataset" in outcome.extra_inputs


def test_deterministic_operations_are_chosen_while_it_trains_and_not_afterwards(
    new_run: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen: list[bool] = []

    class Noting(PlannedGate):
        def point(self, save: Callable[[], None] | None = None) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())
            super().point(save)

    plain = train(context(new_run("plain"), Noting()))
    assert not any(seen)
    seen.clear()
    told = train(context(new_run("told"), Noting(), deterministic=True))
    assert seen[-1]
    assert not torch.are_deterministic_algorithms_enabled()
    assert told.digest == plain.digest


def test_a_training_of_before_goes_on_with_the_rows_that_it_held_out(
    new_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoints do not say which rows were held out, and all of the share was."""
    rows = tmp_path / "rows.jsonl"
    pairs = [{"prompt": f"{n}番は何ですか。", "completion": f"{n}です。"} for n in range(60)]
    rows.write_text("".join(json.dumps(row) + "\n" for row in pairs))
    own = {"dataset": str(rows), "validation_fraction": 0.5, "eval_max_samples": 4}
    root = new_run("before")
    with monkeypatch.context() as before:
        before.setattr("so8t_core.phases.train.holds_whole_share", lambda _: True)
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=9), **own))
        whole = train(context(new_run("whole"), **own))
    resumed = train(context(root, **own))
    assert resumed.digest == whole.digest
    assert resumed.figures["rows_held_out_unmeasured"] == 26
    fresh = train(context(new_run("fresh"), **own))
    assert fresh.figures["samples"] == resumed.figures["samples"] + 26
    assert fresh.figures["rows_held_out_unmeasured"] == 0
