"""The strip that always shows all eight phases, and how far the present one is."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.state import PhaseView
from so8t_core.contract.watch import Seen
from so8t_tui.amounts import as_float, duration, number, rate, share_of
from so8t_tui.locale import Words
from so8t_tui.standing import LOOKS, Standing, phase_standing
from so8t_tui.text import fitted, joined, outside

_ONE_ROW_FROM = 78
_TIMES_FROM = 110
_BAR_SHARE = 0.3


@dataclass(frozen=True)
class PhaseCell:
    """One phase of the strip."""

    name: PhaseName
    standing: Standing
    active: str


@dataclass(frozen=True)
class Present:
    """The phase at work (or where work stopped), as the strip's last line tells it."""

    name: PhaseName
    standing: Standing
    share: float | None
    amount: str
    speed: str
    eta: str
    message: str


@dataclass(frozen=True)
class Strip:
    """Everything the pipeline strip shows."""

    cells: tuple[PhaseCell, ...]
    present: Present | None


def eta_s(view: PhaseView) -> float | None:
    """Seconds to go: as the phase itself says, else from its rate."""
    told = view.stats.get("eta_s")
    if view.state == "running" and isinstance(told, int | float):
        return as_float(told)
    return view.eta_s


def strip_of(seen: Seen, now: float, words: Words) -> Strip:
    """The strip for a state at Unix time `now`."""
    phases = seen.state.phases
    cells = tuple(
        PhaseCell(name, phase_standing(phases[name], seen), _active(phases[name], seen, now))
        for name in PHASE_NAMES
    )
    current = seen.state.current
    return Strip(cells, _present(phases[current], seen, words) if current else None)


def _active(view: PhaseView, seen: Seen, now: float) -> str:
    until = now if seen.liveness.alive else seen.state.last_ts
    seconds = view.active_until(until)
    return duration(seconds) if view.started_at is not None else ""


def _present(view: PhaseView, seen: Seen, words: Words) -> Present:
    standing = phase_standing(view, seen)
    share = share_of(view.done, view.total) if view.total else None
    of = f"/{number(view.total)}" if view.total is not None else ""
    unit = words(outside(view.unit, 20))
    amount = f"{number(view.done)}{of} {unit}".strip() if view.progress_ts or view.done else ""
    speed = rate(view.rate, unit) if view.rate and standing == "running" else ""
    eta = eta_s(view)
    return Present(
        view.name,
        standing,
        share,
        amount,
        speed,
        duration(eta) if eta is not None and standing == "running" else "",
        outside(view.message or view.reason, 200),
    )


class Pipeline(Widget):
    """Three lines: names, states, and the present phase with its bar."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self._words = words
        self._strip: Strip | None = None

    def put(self, strip: Strip) -> None:
        """Show a strip; nothing is drawn when it is the one that is shown."""
        if strip != self._strip:
            self._strip = strip
            self.set_class(strip.present is None, "-idle")
            self.refresh()

    def render(self) -> Content:
        """The strip for the present width."""
        if self._strip is None:
            return Content()
        width = self.content_size.width
        if width >= _ONE_ROW_FROM:
            lines = self._one_row(self._strip.cells, width)
        else:
            lines = [self._four(self._strip.cells[i : i + 4], width) for i in (0, 4)]
        if self._strip.present is not None:
            lines.append(self._present_line(self._strip.present, width))
        return Content("\n").join(lines)

    def _one_row(self, cells: tuple[PhaseCell, ...], width: int) -> list[Content]:
        names = [f"{LOOKS[cell.standing].glyph} {self._words(cell.name)}" for cell in cells]
        words = [self._below(cell, width) for cell in cells]
        widths = [max(cell_len(a), cell_len(b)) for a, b in zip(names, words, strict=True)]
        spare = max(0, width - sum(widths)) // len(cells)
        upper, lower = [], []
        for cell, name, word, own in zip(cells, names, words, widths, strict=True):
            style = LOOKS[cell.standing].style
            strong = "bold " if cell.standing in {"running", "pausing", "paused"} else ""
            upper.append(Content.styled(fitted(name, own + spare), strong + style))
            lower.append(Content.styled(fitted(word, own + spare), style))
        return [Content().join(upper), Content().join(lower)]

    def _below(self, cell: PhaseCell, width: int) -> str:
        word = self._words(LOOKS[cell.standing].word)
        timed = width >= _TIMES_FROM and cell.active
        return f"{word} {cell.active}" if timed else word

    def _four(self, cells: tuple[PhaseCell, ...], width: int) -> Content:
        own = width // 4
        return Content().join(
            Content.styled(
                fitted(f"{LOOKS[cell.standing].glyph} {self._words(cell.name)}", own),
                LOOKS[cell.standing].style,
            )
            for cell in cells
        )

    def _present_line(self, present: Present, width: int) -> Content:
        look = LOOKS[present.standing]
        parts: list[str | tuple[str, str]] = [
            (f"{self._words(present.name)} {self._words(look.word)}", f"bold {look.style}")
        ]
        if present.amount:
            parts += ["  ", (present.amount, "$ink")]
        if present.speed and width >= _ONE_ROW_FROM:
            parts += ["  ", (present.speed, "$soft")]
        if present.eta:
            parts += ["  ", (self._words("{time} left", time=present.eta), "$soft")]
        head = Content.assemble(*parts)
        bar_width = int(width * _BAR_SHARE)
        end = _bar(present.share, bar_width, look.style) if present.share is not None else Content()
        room = width - head.cell_length - end.cell_length - 4
        if present.message and room > 12:
            head = head + Content.styled("  " + fitted(present.message, room).rstrip(), "$faint")
        return joined(head, end, width)


def _bar(share: float, width: int, style: str) -> Content:
    full = round(share * (width - 5))
    return Content.assemble(
        ("━" * full, style),
        ("━" * (width - 5 - full), "$track"),
        (f"{share:5.0%}", "$ink"),
    )
