"""Host and GPU: memory, load, temperature, power and disk, each with a bar where it has a limit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from textual.content import Content

from so8t_core.contract.state import RunState
from so8t_tui.amounts import as_float, share_of
from so8t_tui.locale import Words
from so8t_tui.text import fitted, right
from so8t_tui.widgets.card import Card
from so8t_tui.widgets.counts import bar

_CAUTION_FROM = 0.85
_BAD_FROM = 0.95
_GPU_KEY = re.compile(r"gpu(\d+)_")


@dataclass(frozen=True)
class Gauge:
    """One reading: `share` (0 to 1) draws a bar.

    What is `scarce` warns by colour as it runs out; load may well be full.
    """

    label: str
    text: str
    share: float | None = None
    scarce: bool = False


class Resources(Card[tuple[Gauge, ...]]):
    """Gauges under one another."""

    def draw(self, value: tuple[Gauge, ...], width: int, height: int) -> Sequence[Content]:
        label_width = max(cell_len(gauge.label) for gauge in value)
        text_width = max(cell_len(gauge.text) for gauge in value)
        bar_width = max(0, width - label_width - text_width - 4)
        return [_line(gauge, label_width, text_width, bar_width) for gauge in value[:height]]


def _line(gauge: Gauge, label: int, text: int, bar_width: int) -> Content:
    parts: list[str | tuple[str, str]] = [
        (fitted(gauge.label, label), "$soft"),
        "  ",
        (right(gauge.text, text), "$ink"),
    ]
    if gauge.share is not None and bar_width > 0:
        drawn = bar(gauge.share, bar_width)
        parts += [
            "  ",
            (drawn, _style(gauge.share) if gauge.scarce else "$curve-1"),
            ("━" * (bar_width - cell_len(drawn)), "$track"),
        ]
    return Content.assemble(*parts)


def _style(share: float) -> str:
    if share >= _BAD_FROM:
        return "$bad"
    return "$caution" if share >= _CAUTION_FROM else "$curve-1"


def gpu_numbers(values: Mapping[str, Any]) -> list[int]:
    """The GPUs that the readings tell of."""
    return sorted({int(found[1]) for key in values if (found := _GPU_KEY.match(key))})


def gauges_of(
    state: RunState, words: Words, training: Sequence[tuple[str, float]] = ()
) -> tuple[Gauge, ...]:
    """The readings of a state; says so where there is no GPU. Empty before the first reading.

    `training`: what training itself told of its GPU memory, in GB by name.
    """
    values = state.resources
    if not values:
        return ()
    gauges: list[Gauge] = []
    cpu = _figure(values, "cpu_percent")
    if cpu is not None:
        gauges.append(Gauge("CPU", f"{cpu:.0f} %", cpu / 100))
    gauges += _memory(values, "ram", words("memory"))
    for key, label in (("engine_rss_gb", "engine"), ("disk_free_gb", "disk free")):
        amount = _figure(values, key)
        if amount is not None:
            gauges.append(Gauge(words(label), f"{amount:.1f} GB"))
    for key, label in (("net_received_mb_per_s", "received"), ("net_sent_mb_per_s", "sent")):
        amount = _figure(values, key)
        if amount is not None:
            gauges.append(Gauge(words(label), f"{amount:.2f} MB/s"))
    numbers = gpu_numbers(values)
    for number in numbers:
        name = f"GPU {number}" if len(numbers) > 1 else "GPU"
        gauges += _gpu(values, f"gpu{number}", name, words)
    gauges += [Gauge(f"GPU {words(label)}", f"{amount:.1f} GB") for label, amount in training]
    if not numbers:
        gauges.append(Gauge("GPU", words("no GPU")))
    return tuple(gauges)


def _figure(values: Mapping[str, Any], key: str) -> float | None:
    found = values.get(key)
    return as_float(found) if isinstance(found, int | float) else None


def _memory(values: Mapping[str, Any], stem: str, label: str) -> list[Gauge]:
    used, total = _figure(values, f"{stem}_used_gb"), _figure(values, f"{stem}_total_gb")
    if used is None:
        return []
    if not total:
        return [Gauge(label, f"{used:.1f} GB")]
    return [Gauge(label, f"{used:.1f}/{total:.1f} GB", share_of(used, total), scarce=True)]


def _gpu(values: Mapping[str, Any], stem: str, name: str, words: Words) -> list[Gauge]:
    gauges = _memory(values, stem, f"{name} {words('memory')}")
    peak = _figure(values, f"{stem}_peak_gb")
    if peak is not None:
        gauges.append(Gauge(f"{name} {words('peak')}", f"{peak:.1f} GB"))
    load = _figure(values, f"{stem}_util_percent")
    if load is not None:
        gauges.append(Gauge(name, f"{load:.0f} %", load / 100))
    heat, power = (_figure(values, f"{stem}_{key}") for key in ("temperature_c", "power_w"))
    parts = [
        "" if heat is None else f"{heat:.0f} °C",
        "" if power is None else f"{power:.0f} W",
    ]
    text = " ".join(part for part in parts if part)
    if text:
        gauges.append(Gauge(f"{name} {words('heat')}", text))
    return gauges
