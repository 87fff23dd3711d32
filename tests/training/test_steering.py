"""Settings that only steer what is to come may be changed on the way, by what the hint says."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from so8t_core.cli import main
from so8t_core.commands import steer
from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, EXIT_USAGE, PhaseError
from so8t_core.contract.journal import JournalReader
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import create_run, run_settings
from so8t_core.contract.settings.train import STEERING, TrainSettings
from so8t_core.phases.base import HardPause, Outcome, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter
from so8t_core.training import trainer as training
from so8t_core.training.checkpoint import Snapshot
from so8t_core.training.history import ChangedSetting
from so8t_core.training.steering import changed_steering, steering_of
from tests.training.test_guard import broken_at, lines
from tests.training.trial import QUICK, PlannedGate, context, train

NewRun = Callable[[str], Path]


@pytest.fixture
def run(tmp_path: Path, model: Path) -> RunDir:
    """A run of its own whose training needs no other phase."""
    data = tmp_path / "own.jsonl"
    rows = [{"prompt": f"{n}番目の問い", "completion": f"答えは{n}です。"} for n in range(30)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = {**QUICK, "model_path": model, "dataset": data, "sample_prompts": "[]"}
    given = [f"train.{name}={value}" for name, value in chosen.items()]
    return create_run(tmp_path / "runs", load_settings(None, ["name=steered", *given]))


def in_run(run: RunDir, gate: Any = None) -> Outcome:
    """The train phase, as an engine would have it done."""
    return train(
        PhaseContext(
            run=run,
            phase="train",
            settings=run_settings(run),
            inputs={},
            emit=RecordingEmitter(),
            pause=gate or OpenGate(),
        )
    )


def asked(run: RunDir, words: str) -> int:
    return main([*shlex.split(words)[1:], "--runs-dir", str(run.root.parent)])


def test_after_a_stop_the_hint_followed_word_for_word_finishes_the_training(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN at a step, stop; what the hint says to type; it goes on, and says what it was given."""
    outcomes: list[Outcome] = []

    def launch(of: RunDir, *_: Any, **__: Any) -> int:
        outcomes.append(in_run(of))
        return EXIT_DONE

    monkeypatch.setattr(steer, "launch", launch)
    with broken_at(monkeypatch, {5: math.nan}):
        with pytest.raises(PhaseError, match="loss of step 5 is nan") as stopped:
            in_run(run)
        with pytest.raises(PhaseError, match="loss of step 5 is nan"):
            in_run(run)  # the same again, as long as nothing is changed
        said = re.search("`(.+?)`", str(stopped.value.hint))
        assert said is not None
        assert asked(run, said.group(1)) == EXIT_DONE
    assert [line["step"] for line in lines(run.root) if "skipped" in line] == [5]
    figures, notes = outcomes[0].figures, outcomes[0].notes
    assert (figures["steps"], figures["bad_steps"]) == (7, 1)
    assert any("train.bad_step was 'stop' up to step 4 and is 'skip' since" in n for n in notes)
    record = json.loads((run.phase("train") / "adapter" / "training.json").read_text())
    assert record["settings"]["bad_step"] == run_settings(run).train.bad_step == "skip"
    with JournalReader(run.journal) as reader:
        told = [event.payload["message"] for event in reader.after(0, 99) if event.kind == "log"]
    assert told[-1].endswith("changed settings of this run: train.bad_step=skip")


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        ({"bad_step": "skip", "max_bad_steps_in_a_row": 1}, "max_bad_steps_in_a_row=4"),
        ({"bad_step": "skip", "max_bad_steps": 1}, "max_bad_steps=4"),
    ],
    ids=["in a row", "in all"],
)
def test_the_hint_at_too_many_bad_steps_names_the_limit_that_was_met(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], change: str
) -> None:
    root = new_run("limited")
    with (
        broken_at(monkeypatch, dict.fromkeys((3, 4), math.nan)),
        pytest.raises(PhaseError) as stopped,
    ):
        train(context(root, **settings))
    assert f"`so8t resume limited --set train.{change}`" in str(stopped.value.hint)


def test_what_steers_may_be_changed_between_two_starts_and_changes_no_step(
    straight: Any, new_run: NewRun
) -> None:
    """All of it at once; the adapter is then that of the best checkpoint, so says its record."""
    whole, outcome, _ = straight
    root = new_run("steered")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=28)))
    steered = {
        "bad_step": "back_off",
        "back_off_factor": 0.25,
        "max_bad_steps_in_a_row": 5,
        "max_bad_steps": 6,
        "loss_explosion": 90.0,
        "grad_norm_explosion": 80.0,
        "adapter_from": "best",
        "early_stopping_patience": 4,
        "early_stopping_min_delta": 0.001,
    }
    assert steered.keys() == STEERING
    again = train(context(root, **steered))
    assert (root / "train" / "series.jsonl").read_bytes() == (
        whole / "train" / "series.jsonl"
    ).read_bytes()
    assert again.figures["adapter_step"] == again.figures["best_step"]
    record = json.loads((root / "train" / "adapter" / "training.json").read_text())
    assert {name: record["settings"][name] for name in STEERING} == steered
    changes = [note for note in again.notes if "changed on the way" in note]
    assert len(changes) == len(STEERING)
    back = train(context(root))  # and back, at its end
    assert back.digest == outcome.digest
    assert len([note for note in back.notes if "changed on the way" in note]) > len(STEERING)


def test_a_change_that_no_checkpoint_saw_was_none(new_run: NewRun) -> None:
    root = new_run("undecided")
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=11)))
    for point, change in ((1, "skip"), (2, "back_off")):  # each ends before a step is done
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=point), bad_step=change))
    notes = train(context(root, bad_step="stop")).notes
    assert not [note for note in notes if "changed on the way" in note]


def test_a_checkpoint_whose_identity_holds_what_steers_is_resumed(
    straight: Any, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older versions wrote them: with the same values, and with others."""
    _, outcome, _ = straight
    root = new_run("older")
    of_now = training.SO8TTrainer._snapshot

    def older(self: Any) -> Any:
        now = of_now(self)
        state = dict(now.course)
        held = {f"train.{name}": value for name, value in state.pop("steering").items()}
        identity = {**now.identity, **held}
        return training.replace(now, identity=identity, course=state)

    with monkeypatch.context() as patch:
        patch.setattr(training.SO8TTrainer, "_snapshot", older)
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=20)))
        with pytest.raises(HardPause):
            train(context(root, PlannedGate(pause_at=5)))
    result = train(context(root, bad_step="skip"))
    assert result.digest == outcome.digest
    changes = [note for note in result.notes if "changed on the way" in note]
    assert len(changes) == 1
    assert "train.bad_step was 'stop'" in changes[0]


@pytest.mark.parametrize("words", ["resume {run}", "train --run {run}"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("train.lora_rank=8", "keeps the settings"),
        ("train=1", "keeps the settings"),
        ("seed=1", "keeps the settings"),
        ("train.gpus=2", "--gpus N"),
        ("train.bad_step=never", "train.bad_step"),
        ("train.early_stopping_patience=2", "early_stopping_patience needs"),
    ],
)
def test_what_decides_a_result_is_not_changed(
    run: RunDir,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: str,
    change: str,
    told: str,
) -> None:
    monkeypatch.setattr(steer, "launch", lambda *_, **__: pytest.fail("it was started"))
    text = run.settings_file.read_text()
    run.settings_file.write_text(text.replace("eval_every_steps: 3", "eval_every_steps: 0"))
    before = run.settings_file.read_bytes()
    command = words.format(run=run.name)
    assert asked(run, f"so8t {command} --set {change}") == EXIT_USAGE
    assert told in capsys.readouterr().err
    assert run.settings_file.read_bytes() == before


def at_step(step: int, settings: TrainSettings) -> Snapshot:
    empty: dict[str, Any] = {}
    course = {"steering": steering_of(settings)}
    return Snapshot(step, empty, empty, empty, empty, empty, empty, empty, course)


def test_a_change_survives_its_step_being_saved_again() -> None:
    """A pause in an evaluation writes the same step anew, with the newer values."""
    stop, skip = TrainSettings(bad_step="stop"), TrainSettings(bad_step="skip")
    change = (ChangedSetting(5, "train.bad_step", "'stop'", "'skip'"),)
    assert changed_steering((), at_step(5, stop), skip) == change
    assert changed_steering(change, at_step(5, skip), skip) == change
    assert changed_steering(change, at_step(7, skip), skip) == change
    assert changed_steering(change, at_step(5, skip), stop) == ()  # and back, before any step
    assert changed_steering(change, at_step(5, stop), stop) == ()  # an older one was taken
    assert changed_steering(change, at_step(4, stop), skip) == (
        ChangedSetting(4, "train.bad_step", "'stop'", "'skip'"),
    )
