"""Settings of the report section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from so8t_core.contract.settings.base import Section


class ReportSettings(Section):
    """What the final report looks like; its figures come from the manifests alone."""

    language: Literal["en", "ja"] = Field(
        "en", description="Language of headings, labels and prose: English or Japanese."
    )
    plot_points: int = Field(
        400,
        ge=16,
        le=5000,
        description="A curve with more points is drawn as the least and greatest of each column.",
    )
