"""Keys write what is wanted into control.db, and nothing else."""

from dataclasses import replace
from pathlib import Path

from so8t_core.contract.control import ControlStore
from so8t_core.contract.errors import ResourceError
from so8t_core.contract.rundir import RunDir
from so8t_tui.app import Leaving

from .glass import center, on_screen, opened, sees, until, wanted
from .stage import Play, living_engine, make_run


async def test_space_asks_for_a_soft_pause_and_space_again_takes_it_back(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run)) as pilot:
            await sees(pilot, "space Pause")
            await pilot.press("space")
            assert (wanted(run).desired, wanted(run).mode) == ("paused", "soft")
            await sees(pilot, "pause asked", "space Resume")
            await pilot.press("space")
            assert wanted(run).desired == "running"


async def test_requested_pausing_and_paused_are_told_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run)) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("space")
            await sees(pilot, "pause asked")
            play = Play()
            play.tell("control_seen", revision=1, who="me/1", change="paused")
            play.tell("pause_requested", "train", mode="soft", who="me/1")
            play.write(run)
            await sees(pilot, "▿ pausing")
            assert "pause asked" not in on_screen(pilot.app)
            play.tell("paused", "train", mode="soft")
            play.write(run)
            await sees(pilot, "ǁ paused")


async def test_shift_p_asks_for_a_hard_pause(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run)) as pilot:
            await sees(pilot, "P Pause hard")
            await pilot.press("P")
            assert (wanted(run).desired, wanted(run).mode) == ("paused", "hard")


async def test_a_crashed_run_is_resumed_by_a_new_engine(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    started: list[RunDir] = []
    async with opened(center(run, start_engine=started.append)) as pilot:
        await sees(pilot, "✘ crashed")
        await pilot.press("r")
        assert started == [run]
        assert wanted(run).desired == "running"
        await sees(pilot, "▹ starting")
        await pilot.press("r", "space")
        assert started == [run], "one request starts one engine"
        with living_engine(run):
            await sees(pilot, "▸ running")


async def test_a_paused_run_without_engine_wants_running_before_the_engine_starts(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "paused")
    play = Play()
    play.tell("engine_stopped", exit_code=3, reason="paused")
    play.write(run)
    seen_by_engine: list[str] = []
    app = center(run, start_engine=lambda r: seen_by_engine.append(wanted(r).desired))
    with ControlStore(run.control) as store:
        store.write(replace(store.read(), desired="paused"))
    async with opened(app) as pilot:
        await sees(pilot, "ǁ paused", "no engine runs")
        await pilot.press("space")
        assert seen_by_engine == ["running"]


async def test_an_engine_that_cannot_start_is_a_message(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")

    def refuse(_run: RunDir) -> None:
        raise ResourceError("No memory for an engine.", hint="Close something.")

    async with opened(center(run, start_engine=refuse)) as pilot:
        await sees(pilot, "✘ crashed")
        await pilot.press("r")
        await sees(pilot, "No memory for an engine.", "Close something.")


async def test_without_a_starter_the_command_is_named(tmp_path: Path) -> None:
    async with opened(center(make_run(tmp_path, "crawl"))) as pilot:
        await sees(pilot, "✘ crashed")
        await pilot.press("r")
        await sees(pilot, "so8t resume demo-crawl")


async def test_stopping_needs_the_letter_not_enter(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run)) as pilot:
            await sees(pilot, "s Stop")
            await pilot.press("s", "enter", "enter", "space")
            await sees(pilot, "Stop the engine?")
            assert wanted(run).desired == "running"
            await pilot.press("y")
            assert wanted(run).desired == "stopped"


async def test_detaching_leaves_and_changes_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        app = center(run)
        async with opened(app) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("d")
        assert app.return_value == Leaving("detached", run)
        assert wanted(run).revision == 0


async def test_q_asks_and_enter_enter_detaches(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        app = center(run)
        async with opened(app) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("q")
            await sees(pilot, "Leave this run?")
            await pilot.press("enter", "enter")
        assert app.return_value == Leaving("detached", run)
        assert wanted(run).desired == "running"


async def test_q_can_pause_and_exit_or_be_cancelled(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        app = center(run)
        async with opened(app) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("q", "j", "j", "enter")
            await pilot.pause()
            assert app.is_running
            assert wanted(run).desired == "running"
            await pilot.press("q", "p")
        assert app.return_value == Leaving("paused", run)
        assert (wanted(run).desired, wanted(run).mode) == ("paused", "hard")


async def test_q_on_a_run_without_engine_leaves_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    app = center(run)
    async with opened(app) as pilot:
        await sees(pilot, "✓ done")
        await pilot.press("q")
    assert app.return_value == Leaving("closed", run)


async def test_two_interfaces_on_one_run_agree(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        first, second = center(run), center(run)
        async with opened(first) as one, opened(second) as other:
            await sees(one, "space Pause")
            await sees(other, "space Pause")
            await one.press("space")
            await sees(other, "pause asked", "space Resume")
            await other.press("space")
            await until(one, lambda: "space Pause" in on_screen(first))
            assert wanted(run).revision == 2
