"""How a figure is written: its unit is read from its name, its digits from its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from so8t_core.reporting.document import Scalar

# The longest suffix that fits decides. The unit's own wording is in the catalogue.
_UNIT_OF_SUFFIX: dict[str, str] = {
    "tokens_per_s": "tokens_per_s",
    "pages_per_s": "pages_per_s",
    "documents_per_s": "documents_per_s",
    "per_core_s": "per_s",
    "per_s": "per_s",
    "bits_per_byte": "bits_per_byte",
    "bytes": "bytes",
    "gb": "gb",
    "mb": "mb",
    "ms": "ms",
    "s": "s",
    "h": "h",
    "share": "share",
    "fraction": "share",
    "percent": "percent",
    "degrees": "degrees",
    "rad": "rad",
    "celsius": "celsius",
    "at": "moment",
}
_BEHIND_UNIT = frozenset({"in", "out"})
_WORDED = "unit_"
# Groups whose name carries no unit although all of their decimals have one.
_UNIT_OF_GROUP = {"answer_form": "share", "confidence": "share"}
_SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_DIGITS = 4
_MINUTE_S = 60
_HOUR_S = 3600


def unit_of(name: str) -> tuple[str, str | None]:
    """Split a key into what it measures and its unit: `size_bytes` is ("size", "bytes").

    The unit is None where the name carries none; a name that is nothing but a unit keeps itself
    as the measure (`bits_per_byte` is ("bits_per_byte", "bits_per_byte")).
    """
    parts = name.split("_")
    ends = [len(parts)] + ([len(parts) - 1] if parts[-1] in _BEHIND_UNIT else [])
    for end in ends:
        for start in range(end):
            unit = _UNIT_OF_SUFFIX.get("_".join(parts[start:end]))
            if unit is not None and (len(parts) > 1 or unit == "bytes"):
                return "_".join(parts[:start] + parts[end:]) or name, unit
    return name, None


def unit_along(path: Sequence[str | int]) -> str | None:
    """The unit of a value at a key path: that of the innermost key which carries one."""
    for key in reversed(path):
        unit = _UNIT_OF_GROUP.get(key) or unit_of(key)[1] if isinstance(key, str) else None
        if unit is not None:
            return unit
    return None


def shown(unit: str | None, value: Scalar, words: Mapping[str, str]) -> str:
    """The value as a reader sees it, with its unit.

    A share is written in per cent, unless it is a whole number and so a count. `words` holds
    `yes`, `no`, `none` and the units' wordings, each with a `{}` for the number. Numbers keep four
    significant digits; the exact value stands in report.json.
    """
    if value is None:
        return words["none"]
    if isinstance(value, bool):
        return words["yes" if value else "no"]
    if isinstance(value, str):
        return f"{value[:10]} {value[11:19]}" if unit == "moment" else value
    if unit == "bytes":
        return _size(value)
    if unit == "s":
        return _duration(value, words)
    if unit == "share":
        return f"{_number(value * 100)} %" if isinstance(value, float) else _number(value)
    return words[_WORDED + unit].format(_number(value)) if unit else _number(value)


def shown_beside(unit: str | None, value: Scalar, words: Mapping[str, str]) -> str:
    """The value as it stands before another of the same unit, which alone names it."""
    worded = unit is not None and _WORDED + unit in words and unit not in {"s", "bytes"}
    return shown(None if worded else unit, value, words)


def _number(value: int | float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if 1 <= size < 1e6:
        whole_digits = len(str(int(size)))
        text = f"{value:,.{max(0, _DIGITS - whole_digits)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{_DIGITS}g}"


def _size(value: int | float) -> str:
    for factor, unit in _SIZES:
        if abs(value) >= factor:
            return f"{_number(float(value) / factor)} {unit}"
    return f"{_number(value)} B"


def _duration(value: int | float, words: Mapping[str, str]) -> str:
    if abs(value) < 2 * _MINUTE_S:
        return words["unit_s"].format(_number(value))
    whole = round(value)
    if whole < _HOUR_S:
        return words["minutes"].format(whole // _MINUTE_S, whole % _MINUTE_S)
    return words["hours"].format(whole // _HOUR_S, whole % _HOUR_S // _MINUTE_S)
