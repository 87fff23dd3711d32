"""Everything that may be asked of a run, each with what it will do, before it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from so8t_core.contract.live import LIVE, LiveSetting
from so8t_core.contract.phases import PHASE_NAMES, SPEC, PhaseName
from so8t_core.contract.state import PhaseView
from so8t_tui.client import RunClient
from so8t_tui.locale import Words
from so8t_tui.plot import tick
from so8t_tui.screens.dialog import Dialog
from so8t_tui.text import outside

Kind = Literal["pause", "pause_hard", "resume", "stop", "retry", "skip", "live"]


@dataclass(frozen=True)
class Wish:
    """Something that may be asked for now. `effects` say what will happen, `harms` if work goes."""

    kind: Kind
    label: str
    effects: tuple[str, ...]
    phase: PhaseName | None = None
    live: LiveSetting | None = None
    harms: bool = False


def _after(name: PhaseName) -> list[PhaseName]:
    """The phases that need a phase's result, directly or through others."""
    found: list[PhaseName] = []
    for other in PHASE_NAMES:
        if name in SPEC[other].needs or any(need in found for need in SPEC[other].needs):
            found.append(other)
    return found


def _run_wishes(client: RunClient, words: Words) -> Iterator[Wish]:
    if client.may_pause:
        keeps = words("The phase holds at its next safe moment; its process keeps its memory.")
        frees = words("The phase saves, its process ends, memory and GPU are freed.")
        yield Wish("pause", words("Pause"), (keeps,))
        yield Wish("pause_hard", words("Pause hard"), (frees,))
    if client.may_resume:
        yield Wish("resume", words("Resume"), (words("Goes on from what is saved."),))
    if client.may_stop:
        yield stop_wish(words)


def stop_wish(words: Words) -> Wish:
    """Stopping the engine."""
    effects = (
        words("The present phase saves what it can and the engine ends."),
        words("The run can be resumed later."),
    )
    return Wish("stop", words("Stop the engine"), effects, harms=True)


def _retry(view: PhaseView, words: Words) -> Wish:
    effects = [words("{phase} runs again from its beginning.", phase=words(view.name))]
    if view.state == "done":
        effects.append(words("Its present result is thrown away."))
    later = [words(name) for name in _after(view.name)]
    if later:
        told = ", ".join(later)
        effects.append(words("If its result changes, these run again too: {phases}.", phases=told))
    label = words("Retry {phase}", phase=words(view.name))
    return Wish("retry", label, tuple(effects), view.name, harms=view.state == "done")


def _skip(view: PhaseView, words: Words) -> Wish:
    effects = [words("{phase} is left out of this run.", phase=words(view.name))]
    if view.state in {"running", "pausing", "paused"}:
        effects.append(words("What it is doing now is ended; what it saved stays on the disk."))
    later = [words(name) for name in _after(view.name)]
    if later:
        told = ", ".join(later)
        effects.append(
            words("These need its result and are skipped as well: {phases}.", phases=told)
        )
    label = words("Skip {phase}", phase=words(view.name))
    return Wish("skip", label, tuple(effects), view.name, harms=True)


def wishes(client: RunClient, words: Words) -> list[Wish]:
    """What may be asked for now, in the order in which it is offered."""
    offered = list(_run_wishes(client, words))
    if client.seen is None:
        return offered
    views = [client.seen.state.phases[name] for name in PHASE_NAMES]
    for setting in LIVE:
        if client.seen.state.phases[setting.phase].state in {"running", "pausing", "paused"}:
            label = words("Change {name}", name=setting.name)
            offered.append(Wish("live", label, (words(setting.effect),), setting.phase, setting))
    offered += [_retry(v, words) for v in views if v.state in {"done", "failed", "skipped"}]
    offered += [_skip(v, words) for v in views if v.state not in {"done", "skipped"}]
    return offered


class ControlDialog(Dialog[Wish]):
    """A list; under each entry stands what it does. Nothing is done before it is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor(1)", "Down", id="control.down", show=False),
        Binding("k", "cursor(-1)", "Up", id="control.up", show=False),
        Binding("q", "cancel", "Cancel", id="control.close", show=False),
    ]

    def __init__(self, words: Words, client: RunClient) -> None:
        super().__init__(words)
        self._wishes = wishes(client, words)
        self._client = client

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide") as box:
            box.border_title = Content(self.words("Control"))
            yield OptionList(*(Option(self._shown(wish)) for wish in self._wishes))

    def _shown(self, wish: Wish) -> Content:
        letter = self.words("asks for a letter") if wish.harms else ""
        title = [(wish.label, "bold"), (self._present(wish), "$brand")]
        return Content.assemble(
            *title,
            (f"  {letter}", "$caution") if letter else "",
            *(part for line in wish.effects for part in ("\n", (line, "$soft"))),
        )

    def _present(self, wish: Wish) -> str:
        """What a live setting is now, where somebody set it."""
        if wish.live is None:
            return ""
        value = self._client.control.live.get(wish.live.name)
        return "" if value is None else f"  = {outside(tick(value), 20)}"

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._wishes[event.option_index])

    def action_cursor(self, by: int) -> None:
        """Move between the entries."""
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()
