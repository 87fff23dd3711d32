"""Settings of the crawl section."""

from __future__ import annotations

from so8t_core.contract.settings.base import Section


class CrawlSettings(Section):
    """Settings of the crawl section."""
