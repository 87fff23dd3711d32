"""Any keys, mouse and sizes, over runs that change, break and vanish: the interface goes on.

The short form is part of every run of the tests; `pytest -m long tests/tui/test_fuzz.py` takes many
seeds and more steps. A failure names its seed and its last steps.
"""

import asyncio
import random
import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from so8t_core.contract.errors import StoreError
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.rundir import RunDir
from so8t_tui.app import ControlCenter
from so8t_tui.keymap import all_bindings
from so8t_tui.locale import Words
from so8t_tui.outside import Outside

from .glass import on_screen
from .stage import Play, make_run

CONFIGS = Path(__file__).parents[2] / "configs"
MOMENTS = ("crawl", "train", "failed", "finished")
SHORT_STEPS = 60
LONG_STEPS = 1_000
LONG_SEEDS = range(1, 21)
SIZES = ((80, 24), (60, 20), (120, 40), (200, 60), (10, 5), (1, 1), (250, 70), (33, 4))
MOUSE = (events.MouseDown, events.MouseUp, events.MouseMove)
WHEEL = (events.MouseScrollUp, events.MouseScrollDown)
TYPED = "日本語[red]x\\(*+0123456789.=/~ "
UNNAMED = ("tab", "shift+tab", "pageup", "pagedown", "home", "end", "backspace", "delete", "space")
EVIL = "[red]x[/] [@click=app.quit]y[/] \x1b[2J \u202eabc\u2066 長い" * 20


class Hand:
    """Does random things to an interface and the runs below a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.done: deque[str] = deque(maxlen=25)
        self.keys = sorted({k for _, each in all_bindings() for k in each.key.split(",")})
        self._made = 0
        for moment in MOMENTS:
            make_run(folder / "runs", moment, gpu=moment == "train")

    def app(self) -> ControlCenter:
        """An interface on the list or on a run, in one of the languages."""
        run = self.chance.choice([None, *self._runs()])
        outside = Outside(
            start_engine=self._refuse if self.chance.random() < 0.3 else lambda _run: None,
            new_demo=self._new_run,
            new_run=lambda _file, _changes: self._new_run(),
            configs=lambda: sorted(CONFIGS.glob("*.yaml")),
            terminal_notification=lambda _run, _text: "\a",
        )
        words = Words(self.chance.choice(["en", "ja"]))
        reading = self.chance.random() < 0.1
        return ControlCenter(
            self.folder / "runs", run, outside=outside, words=words, read_only=reading
        )

    def _refuse(self, run: RunDir) -> None:
        raise StoreError("No engine today.", where=str(run.root), hint="Try tomorrow.")

    def _new_run(self) -> RunDir:
        self._made += 1
        return make_run(self.folder / "runs" / f"more-{self._made}", "crawl")

    def _runs(self) -> list[RunDir]:
        return [RunDir(path) for path in sorted((self.folder / "runs").iterdir())]

    async def step(self, pilot: Pilot[Any]) -> None:
        """One random thing."""
        acts: list[tuple[int, Callable[[Pilot[Any]], Any]]] = [
            (60, self._key),
            (12, self._type),
            (15, self._mouse),
            (6, self._resize),
            (10, self._journal),
            (1, self._vanish),
            (1, self._damage),
            (1, self._preferences),
        ]
        act = self.chance.choices([a for _, a in acts], [w for w, _ in acts])[0]
        result = act(pilot)
        if asyncio.iscoroutine(result):
            await result

    async def _key(self, pilot: Pilot[Any]) -> None:
        named = self.chance.random() < 0.85
        key = self.chance.choice(self.keys if named else UNNAMED)
        if key in {"q", "d", "ctrl+q"} and self.chance.random() < 0.8:
            key = "escape"  # leaving is tried too, but seldom
        self.done.append(f"key {key}")
        await pilot.press(key)

    async def _type(self, pilot: Pilot[Any]) -> None:
        text = "".join(self.chance.choices(TYPED, k=self.chance.randint(1, 6)))
        self.done.append(f"type {text!r}")
        if self.chance.random() < 0.3:
            pilot.app.post_message(events.Paste(text + EVIL))
        else:
            await pilot.press(*("space" if c == " " else c for c in text))

    def _mouse(self, pilot: Pilot[Any]) -> None:
        width, height = pilot.app.size
        edges_x, edges_y = (-1, 0, width - 1, width, 10_000), (-1, 0, height - 1, height, 10_000)
        at_edge = self.chance.random() < 0.3
        x = self.chance.choice(edges_x) if at_edge else self.chance.randrange(max(1, width))
        y = self.chance.choice(edges_y) if at_edge else self.chance.randrange(max(1, height))
        kinds = [self.chance.choice(WHEEL)] if self.chance.random() < 0.4 else MOUSE[:2]
        if self.chance.random() < 0.2:
            kinds = MOUSE[2:]
        self.done.append(f"mouse {[kind.__name__ for kind in kinds]} at {x},{y}")
        for kind in kinds:
            pilot.app.post_message(kind(None, x, y, 0, 0, 1, False, False, False, x, y))

    async def _resize(self, pilot: Pilot[Any]) -> None:
        size = self.chance.choice(SIZES)
        if self.chance.random() < 0.5:
            size = self.chance.randint(1, 250), self.chance.randint(1, 70)
        self.done.append(f"resize {size}")
        await pilot.resize_terminal(*size)

    def _journal(self, _pilot: Pilot[Any]) -> None:
        run = self.chance.choice(self._runs())
        play = Play(gpu=True)
        act = self.chance.choice(
            [
                lambda: play.crawl(0.3),
                lambda: play.train(10),
                play.model,
                play.resources,
                play.engine,
                play.finish,
                lambda: play.log("train", "error", EVIL),
                lambda: play.tell("item", "crawl", item="page", text=EVIL, status=EVIL),
                lambda: play.tell("stats", "crawl", values={EVIL: EVIL, "hosts": {EVIL: EVIL}}),
                lambda: play.tell("metrics", "train", points=[[EVIL, 1, float("nan")]]),
                lambda: play.tell("paused", "train", mode="soft"),
                lambda: play.tell("phase_started", "cleanse", attempt=2, pid=1),
            ]
        )
        act()
        self.done.append(f"journal {run.name}")
        if run.journal.exists():
            try:
                with JournalWriter(run.journal) as journal:
                    journal.append(draft for _, draft in play._events)
            except StoreError:
                self.done.append("which is damaged")

    def _vanish(self, _pilot: Pilot[Any]) -> None:
        runs = self._runs()
        if len(runs) > 2:
            run = self.chance.choice(runs)
            self.done.append(f"vanish {run.name}")
            shutil.rmtree(run.root, ignore_errors=True)

    def _damage(self, _pilot: Pilot[Any]) -> None:
        run = self.chance.choice(self._runs())
        file = self.chance.choice([run.journal, run.control, run.settings_file, run.lock])
        self.done.append(f"damage {file.name} of {run.name}")
        if file.parent.is_dir():
            file.write_bytes(self.chance.randbytes(5_000))

    def _preferences(self, _pilot: Pilot[Any]) -> None:
        file = self.folder / "config" / "so8t" / "interface.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.done.append("preferences")
        text = self.chance.choice(["theme = 3", "= x", "", '[keys]\n"run.pause" = "f5"', "\x00"])
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of their own, who is in no folder with settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def play_with(folder: Path, seed: int, steps: int) -> None:
    """Random things in a row; where the interface is left, another one is opened."""
    hand = Hand(folder, seed)
    left = steps
    try:
        while left > 0:
            app = hand.app()
            hand.done.append("open")
            async with app.run_test(size=(80, 24), notifications=True) as pilot:
                await pilot.pause()
                while left > 0 and app.is_running and app.return_value is None:
                    left -= 1
                    await hand.step(pilot)
                    if hand.chance.random() < 0.3:
                        await pilot.pause(0.01)
                    assert app._exception is None
                if app.return_value is None:
                    await pilot.pause(0.05)
                    assert not {"\x1b", "\x07", "\u202e", "\u2066"} & set(on_screen(app))
    except BaseException as error:
        error.add_note(f"seed {seed}, {steps - left} steps; the last: {list(hand.done)}")
        raise


async def test_random_keys_mouse_and_sizes_are_survived(folder: Path) -> None:
    await play_with(folder, 0, SHORT_STEPS)


@pytest.mark.long
@pytest.mark.parametrize("seed", LONG_SEEDS)
async def test_many_random_keys_mouse_and_sizes_are_survived(folder: Path, seed: int) -> None:
    await play_with(folder, seed, LONG_STEPS)
