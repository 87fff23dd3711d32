"""Numbers as people read them: durations, sizes, rates, and values named by their key."""

from __future__ import annotations

import math
import time

UNKNOWN = "—"
"""Shown for what is no number, or too large for what it says."""
_LONGEST_S = 1e9
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_SUFFIXES = (
    ("_per_s", "/s"),
    ("_bytes", "bytes"),
    ("_gb", " GB"),
    ("_mb", " MB"),
    ("_percent", " %"),
    ("_share", "share"),
    ("_c", " °C"),
    ("_w", " W"),
    ("_s", "seconds"),
)


def as_float(value: float) -> float:
    """The number as a float; whole ones beyond its range are infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def share_of(part: float, whole: float) -> float | None:
    """How much of the whole, from 0 to 1; None where that means nothing."""
    part, whole = as_float(part), as_float(whole)
    if not whole or not math.isfinite(part) or not math.isfinite(whole):
        return None
    return min(1.0, max(0.0, part / whole))


def clock_time(unix_s: float, form: str = "%H:%M:%S") -> str:
    """A Unix time on the clock of this machine."""
    try:
        return time.strftime(form, time.localtime(unix_s))
    except (OverflowError, ValueError, OSError):
        return UNKNOWN


def duration(seconds: float) -> str:
    """`0:07`, `12:34` or `3:04:05`; an hour or more has three parts."""
    if not abs(as_float(seconds)) < _LONGEST_S:
        return UNKNOWN
    total = max(0, round(seconds))
    hours, rest = divmod(total, 3600)
    minutes, second = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def size(count: float) -> str:
    """Bytes in decimal units."""
    count = as_float(count)
    for scale, unit in _SIZES:
        if abs(count) >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} B"


def number(value: float) -> str:
    """At most four significant digits; whole numbers in full, with thousands separated."""
    told = as_float(value)
    if not math.isfinite(told):
        return str(told)
    if abs(told) >= 1e15:
        return f"{told:.4g}"
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def rate(per_s: float, unit: str) -> str:
    """Progress a second, or a minute where it is slower than one a second."""
    per_s = as_float(per_s)
    if not 0 < per_s < 1:
        return f"{number(round(per_s, 1))} {unit}/s"
    return f"{number(round(per_s * 60, 1))} {unit}/min"


def measured(key: str, value: object) -> tuple[str, str]:
    """A key and its value as label and text; the unit is read from the key's ending."""
    if isinstance(value, bool):
        return key.replace("_", " "), "yes" if value else "no"
    if not isinstance(value, int | float):
        return key.replace("_", " "), str(value)
    for suffix, unit in _SUFFIXES:
        if key.endswith(suffix) and len(key) > len(suffix):
            label = key.removesuffix(suffix).replace("_", " ")
            return label, _with_unit(value, unit)
    if key == "bytes":
        return key, size(value)
    return key.replace("_", " "), number(value)


def _with_unit(value: float, unit: str) -> str:
    value = as_float(value)
    if unit == "bytes":
        return size(value)
    if unit == "share":
        return f"{value:.1%}"
    if unit == "seconds":
        return duration(value) if value >= 60 else f"{value:.3g} s"
    if unit in {" %", " °C", " W"}:
        return f"{value:.0f}{unit}"
    if unit in {" GB", " MB"}:
        return f"{value:.1f}{unit}"
    return f"{number(value)}{unit}"
