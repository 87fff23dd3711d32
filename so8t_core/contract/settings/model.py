"""Settings of the model section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class ModelSettings(Section):
    """Settings of the model section."""


class VerifySettings(Section):
    """Settings of the verify phase."""


class IntegrateSettings(Section):
    """Settings of the integrate phase."""
