"""Settings of the report section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class ReportSettings(Section):
    """Settings of the report section."""
