"""The screens as they stand, at four sizes and in both languages.

After a change that is meant: SO8T_GOLDENS=write python -m pytest tests/tui/test_goldens.py, and look
at the difference.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from so8t_core.contract.rundir import RunDir
from so8t_tui.locale import Words
from so8t_tui.screens.runs import RunsScreen

from .glass import center, on_screen, opened, until
from .stage import play_to, with_report

GOLDENS = Path(__file__).parent / "goldens"
START = 1_790_000_000.0
TABS = {
    "overview": "1",
    "crawl": "2",
    "cleanse": "3",
    "model": "4",
    "train": "5",
    "evaluate": "6",
    "report": "7",
    "log": "8",
    "resources": "9",
}
HOME = ("finished", "failed", "paused", "crawl")
SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def staged(root: Path, moment: str, start: float = START) -> RunDir:
    """A run whose events have the same times in every test."""
    play = play_to(moment, gpu=True)
    shift = start - play.start
    play.start = start
    play._events = [(ts + shift, draft) for ts, draft in play._events]
    return play.write(RunDir(root))


def finished(root: Path) -> RunDir:
    return with_report(staged(root / "demo", "finished"))


async def still(pilot: Pilot[Any]) -> str:
    """The picture once all is read and drawn and nothing moves any more."""
    app = pilot.app
    screen = app.screen
    home = isinstance(screen, RunsScreen)
    source, paint = (screen._runs, screen._paint) if home else (screen._client, screen.repaint)
    await until(pilot, lambda: not source.behind)
    pictures = [""]
    while len(pictures) < 4 or len(set(pictures[-4:])) > 1:
        paint()
        await pilot.pause(0.05)
        lines = on_screen(app).splitlines()
        pictures.append("\n".join(line.rstrip() for line in lines) + "\n")
    return pictures[-1]


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_screens_are_as_they_were(
    tmp_path: Path, size: tuple[int, int], language: str
) -> None:
    app = center(finished(tmp_path), words=Words(language))  # type: ignore[arg-type]
    wrong = []
    async with opened(app, size) as pilot:
        await until(pilot, lambda: "✓" in on_screen(app))
        for name, key in TABS.items():
            await pilot.press(key)
            wrong += differs(f"{name}-{language}-{size[0]}x{size[1]}", await still(pilot))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_home_is_as_it_was(
    tmp_path: Path, size: tuple[int, int], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, moment in enumerate(HOME):
        staged(Path("runs") / moment, moment, START + 3600 * number)
    broken = RunDir(Path("runs") / "unreadable")
    broken.root.mkdir()
    broken.settings_file.write_text("name: x\n")
    broken.journal.write_bytes(b"no journal" * 1000)
    app = center(None, Path("runs"), words=Words(language))  # type: ignore[arg-type]
    async with opened(app, size) as pilot:
        await until(pilot, lambda: "✘" in on_screen(app) and "✓" in on_screen(app))
        wrong = differs(f"home-{language}-{size[0]}x{size[1]}", await still(pilot))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_dialogs_and_the_comparison_are_as_they_were(
    tmp_path: Path, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, moment in enumerate(("failed", "finished")):
        staged(Path("runs") / moment, moment, START + 3600 * number)
    (tmp_path / "settings.yaml").write_text("name: mine\ntrain: {max_step: 3}\n")
    more = {
        "words": Words(language),  # type: ignore[arg-type]
        "start_engine": lambda _run: None,
        "new_demo": lambda: None,
        "new_run": lambda _file, _changes: None,
        "configs": lambda: [Path("settings.yaml")],
    }
    wrong = []

    async def shows(name: str) -> None:
        nonlocal wrong
        wrong += differs(f"{name}-{language}-80x24", await resting(pilot))

    async with opened(center(None, Path("nothing"), **more)) as pilot:
        await shows("empty")
    async with opened(center(None, Path("runs"), **more)) as pilot:
        await until(pilot, lambda: "✗" in on_screen(pilot.app) and "✓" in on_screen(pilot.app))
        for name, key in (("form", "n"), ("choose", "c"), ("help", "question_mark")):
            await pilot.press(key)
            if name == "form":
                await until(pilot, lambda: "`max_steps`" in on_screen(pilot.app))
            await shows(name)
            await pilot.press("escape")
        await pilot.press("c", "enter")
        await until(pilot, lambda: "↔" in on_screen(pilot.app))
        await shows("compare")
        await pilot.press("escape")
        await until(pilot, lambda: "✗" in on_screen(pilot.app))
        await pilot.press("j", "enter")
        await until(pilot, lambda: "train.micro_batch_size" in on_screen(pilot.app))
        for name, key in (("control", "c"), ("palette", "ctrl+p")):
            await pilot.press(key)
            await shows(name)
            await pilot.press("escape")
    assert not wrong, "\n".join(wrong)


async def resting(pilot: Pilot[Any]) -> str:
    """The picture once nothing has moved for a quarter of a second."""
    pictures = [""]
    while len(pictures) < 5 or len(set(pictures[-5:])) > 1:
        await pilot.pause(0.06)
        lines = on_screen(pilot.app).splitlines()
        pictures.append("\n".join(line.rstrip() for line in lines) + "\n")
    return pictures[-1]


def differs(name: str, seen: str) -> list[str]:
    """What is seen, where it is not as the golden has it; writes that where it is asked for."""
    path = GOLDENS / f"{name}.txt"
    if os.environ.get("SO8T_GOLDENS") == "write":
        GOLDENS.mkdir(exist_ok=True)
        path.write_text(seen, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != seen:
        return [f"{path.name}:\n{seen}"]
    return []
