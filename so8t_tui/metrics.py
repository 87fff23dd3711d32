"""Which series of the training belong into one chart, and in which order charts are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from so8t_core.contract.series import Series
from so8t_tui.curve import smoothed
from so8t_tui.locale import Words
from so8t_tui.plot import Curve
from so8t_tui.text import outside

_SMOOTH_FROM = 12
"""Fewer points than this are drawn as they are."""


@dataclass(frozen=True)
class Group:
    """One chart: its title, and its series with their names in it."""

    title: str
    series: tuple[tuple[str, str], ...]


GROUPS = (
    Group("Loss", (("loss", "train"), ("eval_loss", "eval"))),
    Group("Learning rate", (("learning_rate", "LoRA"), ("gate_learning_rate", "gate"))),
    Group("Gradient norm", (("grad_norm", "norm"),)),
    Group("Tokens/s", (("tokens_per_s", "tokens/s"),)),
    Group("Rotation angle, mean", (("rotation_angle_mean", "angle"),)),
    Group("Orthogonality error", (("orthogonality", "error"),)),
)
_NOISY = frozenset({"loss", "grad_norm", "tokens_per_s"})
LAYER = re.compile(r"rotation_angle\.(\d+)")


def groups_of(series: Mapping[str, Series]) -> tuple[Group, ...]:
    """The known charts, then one for each series that no known chart shows."""
    known = {name for group in GROUPS for name, _ in group.series}
    others = [
        Group(outside(name, 40).replace("_", " "), ((name, outside(name, 40)),))
        for name in series
        if name not in known and not LAYER.fullmatch(name)
    ]
    return (*GROUPS, *others)


def curves_of(
    group: Group, series: Mapping[str, Series], words: Words, other: str = ""
) -> tuple[Curve, ...]:
    """A chart's curves; noisy ones twice: smoothed, and as they are behind it.

    `other` names another run whose series these are; those have no faint twins.
    """
    curves: list[Curve] = []
    for key, name in group.series:
        found = series.get(key)
        if found is None or not found.length:
            continue
        shown = f"{words(name)} {other}".strip()
        if key in _NOISY and found.length >= _SMOOTH_FROM:
            curves.append(Curve(shown, smoothed(found)))
            if not other:
                curves.append(Curve(shown, found, faint=True))
        else:
            curves.append(Curve(shown, found))
    return tuple(curves)


def chosen(groups: tuple[Group, ...], pattern: re.Pattern[str], words: Words) -> list[Group]:
    """The charts whose title or series match, by their names in either language."""
    return [
        group
        for group in groups
        if pattern.search(
            " ".join([group.title, words(group.title), *(key for key, _ in group.series)])
        )
    ]
