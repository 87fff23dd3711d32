"""Says after each item how far a measurement is, and bits per byte so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from so8t_core.evaluation.items import Items

if TYPE_CHECKING:
    from so8t_core.evaluation.measure import Side
    from so8t_core.phases.base import Emitter


class Teller:
    """Counts the items of all sides; one that was measured before a resume counts as told."""

    def __init__(self, emit: Emitter, items: Items, *, sides: int) -> None:
        self._emit = emit
        self._total = sides * items.count
        self._texts = {text.id: text for text in items.texts}
        self._done = 0
        self._sums: dict[str, list[float]] = {}

    def told(self, side: Side, item_id: str, result: Mapping[str, Any]) -> None:
        """Hear of one item's result."""
        self._done += 1
        text = self._texts.get(item_id)
        if text is not None:
            series = f"{text.kind}_bits_per_byte_{side}"
            bits, size, count = self._sums.get(series, [0.0, 0.0, 0.0])
            self._sums[series] = [bits + result["bits"], size + text.size_bytes, count + 1]
            running = self._sums[series][0] / self._sums[series][1]
            self._emit.metric(int(self._sums[series][2]), {series: running})
            self._emit.stats({series: running})
        self._emit.progress(self._done, self._total, "items", f"{side}: {item_id}")
