"""What may be changed while a run goes on: names, meaning and limits, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from so8t_core.contract.errors import SettingsError
from so8t_core.contract.phases import PhaseName


@dataclass(frozen=True)
class LiveSetting:
    """A number that a running phase reads again and again.

    `name` is dotted, as in the settings; `effect` says what a change does. With `steps` the number
    is a training step rather than a setting's value.
    """

    name: str
    phase: PhaseName
    effect: str
    least: float
    most: float
    whole: bool = False
    steps: bool = False

    def read(self, text: str) -> float:
        """The number that a person typed. Raises `SettingsError`."""
        try:
            value = float(text.strip())
        except ValueError as error:
            raise self._refused(f"`{text.strip()[:40]}` is no number") from error
        if not math.isfinite(value) or not self.least <= value <= self.most:
            raise self._refused(f"it must lie between {self.least:g} and {self.most:g}")
        if self.whole and value != int(value):
            raise self._refused("it must be a whole number")
        return int(value) if self.whole else value

    def _refused(self, why: str) -> SettingsError:
        return SettingsError(
            f"{self.name} was not changed: {why}.", hint="Type another number, or leave it."
        )


LIVE: tuple[LiveSetting, ...] = (
    LiveSetting(
        "crawl.delay_s",
        "crawl",
        "Least seconds between two requests to a host; robots.txt may ask for more.",
        0.0,
        3600.0,
    ),
    LiveSetting(
        "crawl.max_concurrency",
        "crawl",
        "Requests at the same time over all hosts; never more than one a host.",
        1,
        1000,
        whole=True,
    ),
    LiveSetting(
        "train.save_every_s",
        "train",
        "A checkpoint is written when the last one is this many seconds old.",
        5,
        1e6,
    ),
    LiveSetting(
        "train.save_every_steps",
        "train",
        "A checkpoint is written after every so many steps.",
        1,
        1e9,
        whole=True,
    ),
    LiveSetting(
        "train.evaluate_from_step",
        "train",
        "The held-out loss is measured once more, after the first step from this one on.",
        1,
        1e9,
        whole=True,
        steps=True,
    ),
)
