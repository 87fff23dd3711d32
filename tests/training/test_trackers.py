"""Trackers are told every step once, whatever ends a process, and change no number."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import HardPause
from so8t_core.training import teller, trackers
from so8t_core.training.event_files import EventFile
from so8t_core.training.series import read_series
from tests.training.event_reading import assert_as_in_the_series, shown
from tests.training.trial import PlannedGate, context, said, train

NewRun = Callable[[str], Path]


class Crash(Exception):
    """What ends a process without any saving."""


class CrashingGate(PlannedGate):
    """Crashes at the training's point of that number."""

    def point(self, save: Any = None) -> None:
        if save is not None and self.points + 1 == self.kill_at:
            raise Crash
        super().point(save)


def test_an_event_file_voids_what_lies_beyond_its_first_step(tmp_path: Path) -> None:
    first = EventFile(tmp_path, 1)
    for step in (1, 2, 3):
        first.append(step, {"loss": step, "broken": float("nan")})
    second = EventFile(tmp_path, 3)
    second.append(3, {"loss": 30.0})
    assert second.path.name > first.path.name
    assert shown(tmp_path) == {"loss": [(1, 1.0), (2, 2.0), (3, 30.0)]}
    first.close()
    second.close()


def test_event_files_hold_the_series(straight: Any) -> None:
    root, _, _ = straight
    assert_as_in_the_series(root)
    assert not (root / "train" / "trackers.json").exists()


def test_no_point_is_doubled_or_lost_by_crashes_and_pauses(new_run: NewRun, straight: Any) -> None:
    root = new_run("broken")
    for gate in (
        CrashingGate(kill_at=5),  # in the first step, which has no checkpoint
        CrashingGate(kill_at=17),
        PlannedGate(pause_at=4),
        CrashingGate(kill_at=10),
    ):
        with pytest.raises((Crash, HardPause)):
            train(context(root, gate))
    assert train(context(root)).digest == straight[1].digest
    assert len(list((root / "train" / "tensorboard" / "train").iterdir())) == 5
    assert_as_in_the_series(root)


class Service:
    """A double of the three packages: what each run was told, by its key or name."""

    def __init__(self) -> None:
        self.told: dict[str, list[tuple[int, dict[str, float]]]] = {}
        self.ended: list[str] = []
        self.opened: list[dict[str, Any]] = []
        self.fails_from = 10**9

    def log(self, run: str, step: int, values: dict[str, float]) -> None:
        if step >= self.fails_from:
            raise ConnectionError("the service is gone\nand more")
        self.told[run].append((step, values))

    def init(self, **options: Any) -> Any:
        self.opened.append(options)
        run = options.get("id") or options["name"]
        self.told.setdefault(run, [])
        service = self

        class Run:
            def log(self, values: dict[str, float], step: int) -> None:
                service.log(run, step, values)

            def finish(self) -> None:
                service.ended.append(run)

        return Run()


@pytest.fixture(params=["wandb", "trackio"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Service]:
    double = Service()
    monkeypatch.setitem(sys.modules, request.param, double)  # type: ignore[misc]
    monkeypatch.setattr(trackers, "require_trackers", lambda wanted: None)
    monkeypatch.setattr("so8t_core.phases.train.require_trackers", lambda wanted: None)
    return request.param, double


def test_an_outside_tracker_is_told_every_step_once(
    new_run: NewRun, straight: Any, service: tuple[str, Service]
) -> None:
    name, double = service
    root = new_run("watched")
    settings = {"trackers": [name], "tracker_project": "mine"}
    for gate in (CrashingGate(kill_at=12), PlannedGate(pause_at=6)):
        with pytest.raises((Crash, HardPause)):
            train(context(root, gate, **settings))
    assert train(context(root, **settings)).digest == straight[1].digest
    [points] = double.told.values()  # one run, gone on with
    series = list(read_series(root / "train" / "series.jsonl"))
    losses = [(step, values["loss"]) for step, values in points if "loss" in values]
    assert losses == [(line["step"], line["loss"]) for line in series]
    evaluations = list(read_series(root / "train" / "evaluations.jsonl"))
    assert [(step, values) for step, values in points if "eval_loss" in values] == [
        (line["step"], {"eval_loss": line["eval_loss"]}) for line in evaluations
    ]
    assert len(double.ended) == 3
    for options in double.opened:
        assert options["project"] == "mine"
        assert options["resume"] == "allow"
        assert options["config"]["train.max_steps"] == "7"
        assert str(root) not in json.dumps(options)


def test_a_tracker_that_fails_is_left_out_and_said(
    new_run: NewRun, straight: Any, service: tuple[str, Service]
) -> None:
    name, double = service
    double.fails_from = 3
    ctx = context(new_run("failing"), trackers=[name])
    assert train(ctx).digest == straight[1].digest
    assert [event for event in said(ctx, "fallback") if name in event["what"]] == [
        {"what": f"training goes on without the tracker {name}", "why": "the service is gone"}
    ]
    assert max(step for points in double.told.values() for step, _ in points) == 2


def test_a_tracker_that_never_answers_holds_nothing_up(
    new_run: NewRun,
    straight: Any,
    service: tuple[str, Service],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, double = service
    answered = threading.Event()
    monkeypatch.setattr(double, "log", lambda *_: answered.wait())
    monkeypatch.setattr(teller, "PATIENCE_S", 0.05)
    ctx = context(new_run("hanging"), trackers=[name])
    assert train(ctx).digest == straight[1].digest
    assert [event for event in said(ctx, "fallback") if name in event["what"]] == [
        {"what": f"no proper end for the tracker {name}", "why": "no answer for 0.05 s"}
    ]
    answered.set()


def test_a_tracker_far_behind_is_given_up_and_its_end_is_not_waited_for(
    tmp_path: Path, service: tuple[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, double = service
    answered = threading.Event()
    monkeypatch.setattr(double, "log", lambda *_: answered.wait())
    monkeypatch.setattr(teller, "PATIENCE_S", 0.05)
    monkeypatch.setattr(teller, "LONGEST_QUEUE", 5)
    ctx = context(tmp_path)
    made = trackers.Trackers(tmp_path, [name], "so8t", ctx.emit)
    made.start("run", {}, 0, -1)
    for step in range(1, 20):
        made.append("train", step, {"loss": 1.0})
    made.close()
    assert [event["why"] for event in said(ctx, "fallback")] == ["5 figures wait for it"]
    answered.set()


def test_other_settings_make_another_outside_run(
    tmp_path: Path, service: tuple[str, Service]
) -> None:
    name, double = service
    emit = context(tmp_path).emit
    for rank in (4, 4, 8):
        made = trackers.Trackers(tmp_path, [name], "so8t", emit)
        made.start("run", {"train.lora_rank": rank}, 0, -1)
        made.append("train", 1, {"loss": float(rank)})
        made.close()
    assert [len(points) for points in double.told.values()] == [1, 1]


def test_a_tracker_that_cannot_be_opened_ends_it_before_the_model_loads(
    new_run: NewRun, service: tuple[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, double = service

    def refuse(**_: Any) -> None:
        raise PermissionError("no key")

    monkeypatch.setattr(double, "init", refuse)
    monkeypatch.setattr("so8t_core.phases.train.load_base", None)
    with pytest.raises(ResourceError, match=f"{name} could not be opened \\(no key\\)"):
        train(context(new_run("closed"), trackers=[name]))


def test_a_tracker_that_is_not_installed_ends_it_before_anything_is_read(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(trackers.PACKAGES, "mlflow", "no_such_package")
    monkeypatch.setattr("so8t_core.phases.train.load_own_tokenizer", None)
    with pytest.raises(ResourceError, match="mlflow is asked for and not installed") as found:
        train(context(new_run("missing"), trackers=["mlflow"]))
    assert found.value.where == "train.trackers"


def test_a_tracker_is_named_once() -> None:
    with pytest.raises(ValueError, match="names a tracker twice"):
        TrainSettings(trackers=("wandb", "wandb"))


def test_a_damaged_mark_makes_new_runs_and_says_so(
    tmp_path: Path, service: tuple[str, Service]
) -> None:
    name, double = service
    ctx = context(tmp_path)
    (tmp_path / "trackers.json").write_text("{")
    made = trackers.Trackers(tmp_path, [name], "so8t", ctx.emit)
    made.start("run", {}, 0, -1)
    made.close()
    assert len(double.told) == 1
    assert said(ctx, "fallback")[0]["what"] == "new runs in the outside trackers"


def test_mlflow_goes_on_with_the_run_of_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Info:
        run_id = "r1"

    class Client:
        runs: ClassVar[list[str]] = []
        calls: ClassVar[list[tuple[Any, ...]]] = []

        def get_experiment_by_name(self, name: str) -> None:
            return None

        def create_experiment(self, name: str) -> str:
            return f"experiment {name}"

        def search_runs(self, experiments: list[str], condition: str) -> list[Any]:
            return [type("Run", (), {"info": Info})] if condition in self.runs else []

        def create_run(self, experiment: str, run_name: str, tags: dict[str, str]) -> Any:
            self.runs.append(f"tags.so8t_key = '{tags['so8t_key']}'")
            return type("Run", (), {"info": Info})

        def log_param(self, *values: Any) -> None:
            self.calls.append(("param", *values))

        def update_run(self, run_id: str, status: str) -> None:
            self.calls.append(("again", run_id, status))

        def log_metric(self, run_id: str, name: str, value: float, step: int) -> None:
            self.calls.append((run_id, name, value, step))

        def set_terminated(self, run_id: str) -> None:
            self.calls.append(("end", run_id))

    monkeypatch.setitem(sys.modules, "mlflow", type("M", (), {"MlflowClient": Client}))  # type: ignore[arg-type]
    for last in (2, 3):  # the second process replays step 2
        made = trackers.Trackers(tmp_path, ["mlflow"], "so8t", context(tmp_path).emit)
        made.start("run", {"seed": 3}, 0, -1)
        for step in range(1, last + 1):
            made.append("train", step, {"loss": step / 2})
        made.close()
    assert Client.calls == [
        ("param", "r1", "seed", "3"),
        ("r1", "loss", 0.5, 1),
        ("r1", "loss", 1.0, 2),
        ("end", "r1"),
        ("again", "r1", "RUNNING"),
        ("r1", "loss", 1.5, 3),
        ("end", "r1"),
    ]
