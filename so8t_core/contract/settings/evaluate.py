"""Settings of the evaluate section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class EvaluateSettings(Section):
    """Settings of the evaluate section."""
