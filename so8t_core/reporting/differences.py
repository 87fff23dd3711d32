"""Differences with their intervals, found in a manifest's figures, to be drawn beside zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from so8t_core.contract.manifest import Manifest
from so8t_core.reporting.catalogue import Catalogue
from so8t_core.reporting.document import Intervals, Outside, Words
from so8t_core.reporting.figures import figure_at

_BITS = "bits_per_byte"
_JOINT = " · "


def difference_blocks(manifest: Manifest, catalogue: Catalogue) -> Iterator[Intervals]:
    """One drawing for differences of bits per byte and one for those of shares and scores.

    Each row's line runs from the lower to the upper end of the interval.
    """
    found = list(_differences(("figures",), manifest.figures))
    for bits, wording in ((True, "differences_bits"), (False, "differences_scores")):
        rows = tuple(
            (_label(path, catalogue), *_figures(manifest, path))
            for path in found
            if (_BITS in path) == bits
        )
        if rows:
            yield Intervals(catalogue.words(wording), rows)


def _differences(path: tuple[str, ...], figures: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in figures.items():
        if not isinstance(value, Mapping):
            continue
        if key == "difference" and "value" in value and "interval" in value:
            yield (*path, key)
        else:
            yield from _differences((*path, key), value)


def _figures(manifest: Manifest, path: tuple[str, ...]) -> Any:
    places = (("value",), ("interval", 0), ("interval", 1))
    return tuple(figure_at(manifest, *path, *place) for place in places)


def _label(path: tuple[str, ...], catalogue: Catalogue) -> Words | Outside:
    """What is compared, without the words that all rows share."""
    shared = ("figures", "difference", "tasks", "measured", _BITS)
    parts = [catalogue.label(key) for key in path if key not in shared]
    text = _JOINT.join(part.text for part in parts)
    return Words(text) if all(isinstance(part, Words) for part in parts) else Outside(text)
