"""Settings of the export section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class ExportSettings(Section):
    """Settings of the export section."""
