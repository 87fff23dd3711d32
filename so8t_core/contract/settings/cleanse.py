"""Settings of the cleanse section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class CleanseSettings(Section):
    """Settings of the cleanse section."""
