"""The keys with which a run is steered: each writes what is wanted, and says first what it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.screen import Screen

from so8t_core.contract.errors import So8tError
from so8t_tui.client import RunClient
from so8t_tui.locale import Words
from so8t_tui.plot import tick
from so8t_tui.screens.confirm import ConfirmDialog
from so8t_tui.screens.control import ControlDialog, Wish, stop_wish
from so8t_tui.screens.host import Host
from so8t_tui.screens.number import NumberDialog
from so8t_tui.screens.quit import QuitDialog

_CHANGING = frozenset({"pause", "pause_hard", "resume", "stop", "control"})


class SteeringScreen(Screen[None]):
    """A screen over one run. What a read-only interface may not do has no key there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", id="run.pause"),
        Binding("space", "resume", "Resume", id="run.resume"),
        Binding("r", "resume", "Resume", id="run.resume_too", show=False),
        Binding("d", "detach", "Detach", id="run.detach"),
        Binding("q", "ask_quit", "Quit", id="run.quit"),
        Binding("c", "control", "Control", id="run.control"),
        Binding("P", "pause_hard", "Pause hard", id="run.pause_hard"),
        Binding("s", "stop", "Stop", id="run.stop"),
    ]

    def __init__(self, host: Host, client: RunClient) -> None:
        super().__init__()
        self._host = host
        self._client = client

    @property
    def words(self) -> Words:
        """The interface's language."""
        return self._host.words

    def repaint(self) -> None:
        """Show the present state now."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in _CHANGING and self._host.read_only:
            return False
        if action in {"pause", "pause_hard"}:
            return self._client.may_pause
        if action == "resume":
            return self._client.may_resume
        if action == "stop":
            return self._client.may_stop
        return super().check_action(action, parameters)

    def _attempt(self, act: Callable[[], None]) -> None:
        """Do something to the run's files; what goes wrong becomes a message."""
        try:
            act()
        except So8tError as error:
            self._host.tell(error)
        self.repaint()

    def action_pause(self) -> None:
        """Ask for a soft pause: the process and its memory stay."""
        self._attempt(lambda: self._client.want("paused", "soft"))

    def action_pause_hard(self) -> None:
        """Ask for a hard pause: a checkpoint is written and memory is freed."""
        self._attempt(lambda: self._client.want("paused", "hard"))

    def action_resume(self) -> None:
        """Ask to go on; starts an engine where none lives."""
        self._attempt(self._resume)

    def _resume(self) -> None:
        self._client.want("running")
        seen = self._client.seen
        if seen is not None and not seen.liveness.alive:
            self._host.launch(self._client)

    def action_stop(self) -> None:
        """Ask, by a typed letter, whether the engine is to stop."""
        self._confirm(stop_wish(self.words))

    def action_control(self) -> None:
        """Offer everything that may be asked for now."""

        def chosen(wish: Wish | None) -> None:
            if wish is None:
                return
            if wish.harms:
                self._confirm(wish)
            else:
                self._grant(wish)

        self.app.push_screen(ControlDialog(self.words, self._client), chosen)

    def _confirm(self, wish: Wish) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._grant(wish)

        title = self.words("{wish}?", wish=wish.label)
        self.app.push_screen(
            ConfirmDialog(self.words, title, wish.effects, self.words("do it")), answered
        )

    def _grant(self, wish: Wish) -> None:
        client, phase = self._client, wish.phase
        if wish.kind == "pause":
            self.action_pause()
        elif wish.kind == "pause_hard":
            self.action_pause_hard()
        elif wish.kind == "resume":
            self.action_resume()
        elif wish.kind == "stop":
            self._attempt(lambda: client.want("stopped", "hard"))
        elif wish.kind == "live":
            self._ask_number(wish)
        elif phase is not None and wish.kind == "retry":
            self._attempt(lambda: client.amend(lambda control: control.retrying(phase)))
            self._say_asked(wish)
        elif phase is not None:
            self._attempt(lambda: client.amend(lambda control: control.skipping(phase)))
            self._say_asked(wish)

    def _say_asked(self, wish: Wish) -> None:
        """A counted wish shows in no state until it is served: say that it is known."""
        seen = self._client.seen
        if seen is not None and seen.liveness.alive:
            text = self.words("Asked for: {wish}. The engine does it in its turn.", wish=wish.label)
        else:
            text = self.words("Noted: {wish}. The next engine does it.", wish=wish.label)
        self.notify(text, markup=False)

    def _ask_number(self, wish: Wish) -> None:
        setting = wish.live
        assert setting is not None
        present = self._client.control.live.get(setting.name)
        if setting.steps and self._client.seen is not None:
            present = int(self._client.seen.state.phases[setting.phase].done) + 1

        def typed(value: float | None) -> None:
            if value is None:
                return
            self._attempt(lambda: self._client.set_live(setting.name, value))
            told = self.words("Asked for: {wish}.", wish=f"{setting.name} = {tick(value)}")
            self.notify(told, markup=False)

        shown = "" if present is None else f"{present:g}"
        self.app.push_screen(NumberDialog(self.words, setting, shown), typed)

    def action_detach(self) -> None:
        """Leave; the engine keeps running."""
        self._host.leave("detached")

    def action_ask_quit(self) -> None:
        """Leave; where an engine works, ask whether it is to go on."""
        if not self._client.may_stop or self._host.read_only:
            self._host.leave("closed")
            return

        def answered(answer: str | None) -> None:
            if answer == "detach":
                self._host.leave("detached")
            elif answer == "pause":
                self._attempt(self._pause_and_leave)

        self.app.push_screen(QuitDialog(self.words), answered)

    def _pause_and_leave(self) -> None:
        self._client.want("paused", "hard")
        self._host.leave("paused")
