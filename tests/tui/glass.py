"""Looking at the interface as a person does: what stands on the screen, and waiting until it does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from so8t_core.contract.control import Control, ControlStore
from so8t_core.contract.rundir import RunDir
from so8t_tui.app import ControlCenter
from so8t_tui.locale import Words
from so8t_tui.outside import Outside
from so8t_tui.preferences import Preferences

SIZE = (80, 24)


def center(run: RunDir | None, runs_dir: Path | None = None, **more: Any) -> ControlCenter:
    """The interface, in English unless said otherwise; parts of `Outside` by name."""
    more.setdefault("words", Words("en"))
    more.setdefault("preferences", Preferences())
    named = {each.name for each in fields(Outside)}
    asked = {name: more.pop(name) for name in named & more.keys()}
    folder = runs_dir or (run.root.parent if run else Path())
    return ControlCenter(folder, run, outside=Outside(**asked), **more)


def on_screen(app: ControlCenter) -> str:
    """Every cell of the terminal as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def until(pilot: Pilot[Any], holds: Callable[[], bool], what: str = "") -> None:
    """Let the interface work until something holds."""
    for _ in range(250):
        if holds():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"{what or 'it'} did not come; on screen:\n{on_screen(pilot.app)}")


async def sees(pilot: Pilot[Any], *texts: str) -> None:
    """Wait until all the texts are on the screen."""
    for text in texts:
        await until(pilot, lambda text=text: text in on_screen(pilot.app), repr(text))


def wanted(run: RunDir) -> Control:
    """What control.db says."""
    with ControlStore(run.control) as store:
        return store.read()


def opened(
    app: ControlCenter, size: tuple[int, int] = SIZE
) -> AbstractAsyncContextManager[Pilot[Any]]:
    """The interface at work in a terminal of that size, messages included."""
    return app.run_test(size=size, notifications=True)
