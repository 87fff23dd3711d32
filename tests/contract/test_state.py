"""The fold: pure, honest about rewinds, pauses and time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t_core.contract.events import Event
from so8t_core.contract.series import LIMIT, Series
from so8t_core.contract.state import RunState, fold, fold_all


class Story:
    """Builds events one second apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, kind: str, phase: str | None = None, at: float | None = None, **payload: Any):
        ts = at if at is not None else float(len(self.events))
        self.events.append(Event(len(self.events) + 1, ts, phase, kind, payload))
        return self

    @property
    def state(self) -> RunState:
        return fold_all(self.events)


def started(at: float = 0.0) -> Story:
    story = Story()
    story.tell("engine_started", pid=1, boot_id="b", host="h", version="v", at=at)
    return story.tell("phase_started", "train", attempt=1, pid=2, at=at)


def test_the_old_state_is_left_as_it_was():
    story = started()
    before = story.state
    point = Event(9, 9.0, "train", "metrics", {"points": [["loss", 1, 2.0]]})
    first, second = (
        fold(before, point),
        fold(before, replace(point, payload={"points": [["loss", 1, 7.0]]})),
    )
    assert before.phases["train"].series == {}
    assert list(first.phases["train"].series["loss"].values) == [2.0]
    assert list(second.phases["train"].series["loss"].values) == [7.0]


def test_a_rewind_drops_what_was_undone_so_that_no_curve_runs_twice():
    story = started()
    for step in range(1, 8):
        story.tell("metrics", "train", points=[["loss", step, float(step)]])
    story.tell("checkpoint", "train", step=4, path="c4", reason="step", size_bytes=1)
    story.tell("rewound", "train", step=4)
    story.tell("metrics", "train", points=[["loss", 5, 50.0]])
    loss = story.state.phases["train"].series["loss"]
    assert list(loss.steps) == [1, 2, 3, 4, 5]
    assert list(loss.values) == [1.0, 2.0, 3.0, 4.0, 50.0]


def test_time_in_pauses_is_not_active_time():
    story = started(at=0)
    story.tell("pause_requested", "train", at=10, mode="soft", who="me")
    story.tell("paused", "train", at=11, mode="soft")
    story.tell("resumed", "train", at=100, who="me")
    story.tell("phase_failed", "train", at=105, attempt=1, error={"what": "x"}, retry_in_s=None)
    view = story.state.phases["train"]
    assert view.active_s == 16
    assert view.state == "failed"


def test_time_in_which_no_engine_lived_is_not_active_time():
    story = started(at=0)
    story.tell("phase_interrupted", "train", at=1000, reason="killed")
    story.events[-1] = replace(story.events[-1], payload={"reason": "killed", "at": 7.0})
    assert story.state.phases["train"].active_s == 7.0
    assert story.state.phases["train"].state == "pending"


def test_requested_quiescing_and_paused_are_three_things():
    story = started()
    story.tell("pause_requested", "train", mode="hard", who="me")
    assert (story.state.state, story.state.phases["train"].state) == ("pausing", "pausing")
    story.tell("paused", "train", mode="hard")
    assert (story.state.state, story.state.phases["train"].state) == ("paused", "paused")
    assert story.state.pause_mode == "hard"


def test_a_stopped_engine_leaves_a_paused_run_and_a_finished_one_stays_finished():
    story = started()
    story.tell("engine_stopped", exit_code=3, reason="stopped")
    assert story.state.state == "paused"
    story = started()
    story.tell("run_finished", outcome="done", message="")
    story.tell("engine_stopped", exit_code=0, reason="done")
    assert story.state.state == "done"


def test_an_unknown_kind_only_moves_the_sequence():
    story = started()
    before = story.state
    story.tell("from_the_future", surprise=1)
    assert replace(story.state, last_seq=before.last_seq, last_ts=before.last_ts) == before


def test_folding_in_two_parts_equals_folding_at_once():
    story = started()
    for step in range(1, 50):
        story.tell("metrics", "train", points=[["loss", step, 1.0 / step]])
        story.tell("log", "train", level="info", message=str(step))
    half = fold_all(story.events[:40])
    assert fold_all(story.events[40:], half) == story.state


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(-5, 5)), max_size=80))
def test_a_series_equals_a_plain_model_of_itself(points: list[tuple[int, float]]):
    series, model = Series(), {}
    kept = [series]
    for step, value in points:
        series = series.append(step, value)
        model = {s: v for s, v in model.items() if s < step} | {step: value}
        assert dict(zip(series.steps, series.values, strict=True)) == model
        kept.append(series)
    assert [len(old.steps) for old in kept] == [old.length for old in kept]


def test_the_ends_of_a_series_are_its_own_and_not_those_of_a_newer_version() -> None:
    older = Series().append(3, 1.0).append(5, 2.0)
    newer = older.append(9, 3.0)
    assert older.ends == (3, 5)
    assert newer.ends == (3, 9)
    with pytest.raises(IndexError, match="without points"):
        Series().ends  # noqa: B018 - asking is what raises


def test_a_long_series_stays_bounded_and_keeps_its_newest_point():
    series = Series()
    for step in range(5 * LIMIT):
        series = series.append(step, float(step))
        assert series.last == float(step)
    assert series.length <= LIMIT
    assert list(series.steps) == sorted(set(series.steps))


def test_a_rate_of_one_unit_is_none_of_the_next():
    story = started()
    for at, done in ((1, 0), (2, 1000), (3, 2000)):
        story.tell("progress", "train", at=at, done=done, total=9e3, unit="rows", message="")
    assert story.state.phases["train"].rate == 1000
    story.tell("progress", "train", at=4, done=3000, total=9e3, unit="steps", message="")
    assert story.state.phases["train"].rate is None
    story.tell("progress", "train", at=6, done=3001, total=9e3, unit="steps", message="")
    assert story.state.phases["train"].rate == 0.5
