"""Home lists every run with its state, opens them, and starts the demo."""

import shutil
from pathlib import Path

from so8t_core.contract.rundir import RunDir
from so8t_tui.app import Leaving

from .glass import center, on_screen, opened, sees, until
from .stage import living_engine, make_run


async def test_home_lists_runs_with_their_states(tmp_path: Path) -> None:
    for moment in ("failed", "finished", "cleanse", "train"):
        run = make_run(tmp_path, moment)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.yaml").write_text("name: x\n")
    (tmp_path / "broken" / "journal.db").write_bytes(b"nothing" * 1000)
    with living_engine(run):
        async with opened(center(None, tmp_path)) as pilot:
            await sees(pilot, "▸ running", "✗ failed", "✓ done", "✘ crashed", "✗ unreadable")
            await sees(pilot, "✓✓✓✓▸◦◦◦", "train 62%", "✓!◦◦◦◦◦◦")


async def test_enter_opens_the_chosen_run_and_escape_comes_back(tmp_path: Path) -> None:
    make_run(tmp_path, "finished")
    app = center(None, tmp_path)
    async with opened(app) as pilot:
        await sees(pilot, "demo-finished", "⏎ Open")
        await pilot.press("enter")
        await sees(pilot, "1 Overview", "✓ done")
        await pilot.press("escape")
        await sees(pilot, "Runs in", "demo-finished")
        await pilot.press("q")
    assert app.return_value == Leaving("closed", None)


async def test_a_run_that_appears_is_listed_and_one_that_vanishes_is_not(tmp_path: Path) -> None:
    first = make_run(tmp_path, "finished")
    app = center(None, tmp_path)
    async with opened(app) as pilot:
        await sees(pilot, "demo-finished")
        make_run(tmp_path, "crawl")
        await sees(pilot, "demo-crawl")
        shutil.rmtree(first.root)
        await until(pilot, lambda: "demo-finished" not in on_screen(app))


async def test_an_empty_home_says_what_to_do_and_n_starts_the_demo(tmp_path: Path) -> None:
    started: list[RunDir] = []
    app = center(
        None,
        tmp_path,
        start_engine=started.append,
        new_demo=lambda: make_run(tmp_path, "crawl"),
    )
    async with opened(app) as pilot:
        await sees(pilot, "No run here yet.", "so8t run -c FILE", "D Demo")
        await pilot.press("D")
        await sees(pilot, "demo-crawl", "▹ starting")
        assert [run.name for run in started] == ["demo-crawl"]


async def test_without_a_starter_no_demo_is_offered(tmp_path: Path) -> None:
    app = center(None, tmp_path)
    async with opened(app) as pilot:
        await sees(pilot, "No run here yet.")
        assert "Press D" not in on_screen(app)
        await pilot.press("D")
        assert "No run here yet." in on_screen(app)


async def test_a_click_beside_the_list_leaves_the_keyboard_to_it(tmp_path: Path) -> None:
    make_run(tmp_path / "runs", "crawl")
    app = center(None, tmp_path / "runs")
    async with opened(app) as pilot:
        await sees(pilot, "crashed", "Open")
        app.screen.set_focus(None)
        make_run(tmp_path / "runs" / "more", "finished")
        shutil.move(tmp_path / "runs" / "more" / "demo-finished", tmp_path / "runs")
        await sees(pilot, "demo-finished", "Open")
        await pilot.press("enter")
        await sees(pilot, "1 Overview")
