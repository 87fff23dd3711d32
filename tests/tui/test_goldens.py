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

from .glass import center, on_screen, opened, until
from .stage import play_to, with_report

GOLDENS = Path(__file__).parent / "goldens"
START = 1_790_000_000.0
TABS = {"overview": "1", "crawl": "2", "model": "4", "train": "5", "report": "7"}
SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def finished(root: Path) -> RunDir:
    play = play_to("finished", gpu=True)
    shift = START - play.start
    play.start = START
    play._events = [(ts + shift, draft) for ts, draft in play._events]
    return with_report(play.write(RunDir(root / "demo")))


async def still(pilot: Pilot[Any]) -> str:
    """The picture once all is read and drawn and nothing moves any more."""
    app = pilot.app
    await until(pilot, lambda: not app.screen._client.behind)
    pictures = [""]
    while len(pictures) < 4 or len(set(pictures[-4:])) > 1:
        app.screen.repaint()
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
            seen = await still(pilot)
            path = GOLDENS / f"{name}-{language}-{size[0]}x{size[1]}.txt"
            if os.environ.get("SO8T_GOLDENS") == "write":
                GOLDENS.mkdir(exist_ok=True)
                path.write_text(seen, encoding="utf-8")
            elif path.read_text(encoding="utf-8") != seen:
                wrong.append(f"{path.name}:\n{seen}")
    assert not wrong, "\n".join(wrong)
