"""A chart of a few curves over the same steps: zoomed, panned, read with a cursor, by log scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from so8t_tui.plot import Curve, Manner, picture, styles_of, tick
from so8t_tui.widgets.card import Card

_ZOOM = 0.5
_PAN = 0.25
_CURSOR_STEP = 0.02


class Chart(Card[tuple[Curve, ...]]):
    """Curves with their newest values in the title, the range on the left, the steps below."""

    def __init__(
        self, title: str, empty: str = "", *, over_time: bool = False, id_: str | None = None
    ) -> None:
        super().__init__(title, empty, id_=id_)
        self._title = title
        self.manner = Manner(over_time=over_time)

    @property
    def title(self) -> str:
        """What the chart shows."""
        return self._title

    def put(self, value: tuple[Curve, ...]) -> None:
        """Show the curves that have points."""
        shown = tuple(curve for curve in value if curve.series.length)
        if shown != self._value:
            self.border_title = self._headline(shown)
        super().put(shown)

    def _headline(self, curves: tuple[Curve, ...]) -> Content:
        parts: list[str | tuple[str, str]] = [self._title]
        named = sum(not curve.faint for curve in curves) > 1
        for curve, style in zip(curves, styles_of(curves), strict=True):
            if not curve.faint:
                label = f" {curve.name}" if named else ""
                last = curve.series.last
                parts.append((f" {label} {tick(last)}" if last is not None else "", style))
        return Content.assemble(*parts)

    def draw(self, value: tuple[Curve, ...], width: int, height: int) -> Sequence[Content]:
        return picture(value, width, height, self.manner)


class ExplorableChart(Chart, can_focus=True):
    """A chart that takes the keyboard and the mouse."""

    class Enlarged(Message):
        """Somebody wants this chart large, or small again."""

        def __init__(self, chart: ExplorableChart) -> None:
            super().__init__()
            self.chart = chart

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enlarge", "Enlarge", id="chart.enlarge"),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom in", id="chart.zoom_in"),
        Binding("minus", "zoom(2.0)", "Zoom out", id="chart.zoom_out", show=False),
        Binding("0", "whole", "Everything", id="chart.whole", show=False),
        Binding("e", "log_scale", "Log scale", id="chart.log_scale"),
        Binding("left", "cursor(-1)", "Cursor left", id="chart.left", show=False),
        Binding("right", "cursor(1)", "Cursor right", id="chart.right", show=False),
        Binding("comma,shift+left", "pan(-1)", "Pan left", id="chart.pan_left", show=False),
        Binding("full_stop,shift+right", "pan(1)", "Pan right", id="chart.pan_right", show=False),
    ]

    def _become(self, manner: Manner) -> None:
        self.manner = manner
        note = "log" if manner.log else ""
        if not manner.view.whole:
            shown = manner.view.end - manner.view.start
            note = f"{note} {shown:.0%}".strip() if shown >= 0.01 else f"{note} <1%".strip()
        self.put_note(note)
        self.refresh()

    def action_enlarge(self) -> None:
        """Ask for the whole tab, or give it back."""
        self.post_message(self.Enlarged(self))

    def action_zoom(self, factor: float) -> None:
        """Show less or more of the steps, around the cursor (without one: at the end)."""
        around = self.manner.cursor if self.manner.cursor is not None else 1.0
        self._become(replace(self.manner, view=self.manner.view.zoomed(factor, around)))

    def action_pan(self, by: int) -> None:
        """Move along the steps."""
        self._become(replace(self.manner, view=self.manner.view.panned(by * _PAN)))

    def action_whole(self) -> None:
        """Show everything, without a cursor."""
        self._become(Manner(log=self.manner.log, over_time=self.manner.over_time))

    def action_log_scale(self) -> None:
        """Switch between values and their logarithms."""
        self._become(replace(self.manner, log=not self.manner.log))

    def action_cursor(self, by: int) -> None:
        """Move the cursor; it begins at the newest value. Beyond an edge the view moves."""
        place = 1.0 if self.manner.cursor is None else self.manner.cursor + by * _CURSOR_STEP
        manner = self.manner
        if not 0.0 <= place <= 1.0:
            manner = replace(manner, view=manner.view.panned(by * _CURSOR_STEP))
        self._become(replace(manner, cursor=min(1.0, max(0.0, place))))

    def on_click(self, event: events.Click) -> None:
        """A click reads the value there."""
        offset = event.get_content_offset(self)
        if offset is not None and self.content_size.width > 1:
            share = offset.x / (self.content_size.width - 1)
            self._become(replace(self.manner, cursor=min(1.0, max(0.0, share))))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel zooms."""
        event.stop()
        self.action_zoom(_ZOOM)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel zooms."""
        event.stop()
        self.action_zoom(1 / _ZOOM)
