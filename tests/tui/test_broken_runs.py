"""Whatever is wrong with a run's files is a message; the screen stays."""

import shutil
import sqlite3
from pathlib import Path

from so8t_core.contract.rundir import RunDir

from .glass import center, on_screen, opened, sees
from .stage import Play, make_run


async def test_a_vanished_run_directory_is_said_and_the_last_state_stays(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    async with opened(center(run)) as pilot:
        await sees(pilot, "✓ done")
        shutil.rmtree(run.root)
        await sees(pilot, "The run directory is gone.", "✓ crawl")
        await pilot.press("d")


async def test_a_run_directory_that_comes_back_is_read_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    async with opened(center(run)) as pilot:
        await sees(pilot, "✘ crashed")
        shutil.rmtree(run.root)
        await sees(pilot, "The run directory is gone.")
        run.root.mkdir()
        other = make_run(tmp_path / "elsewhere", "finished")
        shutil.rmtree(run.root)
        shutil.copytree(other.root, run.root)
        await sees(pilot, "✓ done")


async def test_a_run_whose_engine_has_not_begun_is_shown_and_followed(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "fresh")
    run.root.mkdir()
    run.settings_file.write_text("name: fresh\n")
    async with opened(center(run)) as pilot:
        await sees(pilot, "pending")
        make_run(tmp_path / "elsewhere", "finished").journal.rename(run.journal)
        await sees(pilot, "✓ done")


async def test_a_damaged_journal_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    run.journal.write_bytes(b"this was a journal" * 500)
    async with opened(center(run)) as pilot:
        await sees(pilot, "The journal cannot be read", "Move journal.db aside")


async def test_a_journal_of_a_newer_version_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    connection = sqlite3.connect(run.journal)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    async with opened(center(run)) as pilot:
        await sees(pilot, "The journal has format 99", "Update so8t")


async def test_an_event_that_cannot_be_folded_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    play = Play()
    play.tell("progress", "crawl", nonsense=True)
    play.write(run)
    async with opened(center(run)) as pilot:
        await sees(pilot, "of the journal is malformed")


async def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with opened(center(RunDir(tmp_path / "empty"))) as pilot:
        await sees(pilot, "The run has no journal.")


async def test_a_damaged_control_file_is_said_when_it_is_needed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    for path in run.root.glob("control.db*"):
        path.unlink()
    run.control.write_bytes(b"no database" * 500)
    async with opened(center(run)) as pilot:
        await sees(pilot, "The control file cannot be")


async def test_hostile_text_changes_nothing_but_its_own_cell(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    play = Play()
    evil = (
        "[red]x[/red] [@click=app.quit]y[/] \x1b[2J\x1b]0;t\x07 \u202eabc\u2066 " + "長" * 100_000
    )
    play.tell("item", "crawl", item="page", text=evil, status="[b]", note="\x9b31m")
    play.tell("stats", "crawl", values={"refusals": {evil: 1}, "hosts": {evil: evil}, evil: evil})
    play.tell("progress", "crawl", done=1, total=2, unit=evil, message=evil)
    play.log("crawl", "warning", evil)
    play.until_now()
    play.write(run)
    app = center(run)
    async with opened(app, (120, 40)) as pilot:
        for key in ("2", "8", "1"):
            await pilot.press(key)
            await sees(pilot, "[red]x[/red] [@click=app.quit]")
            text = on_screen(app)
            assert not {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"} & set(text)
            assert all(name in text for name in ("1 Overview", "8 Log", "demo-crawl"))
