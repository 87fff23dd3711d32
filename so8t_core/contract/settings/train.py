"""Settings of the train section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class TrainSettings(Section):
    """Settings of the train section."""
