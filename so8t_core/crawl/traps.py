"""URLs that look like a trap: paths that loop, endless parameters, endless calendars."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.refusal import Refusal

_DATE = re.compile(
    r"(?:^|[/?&=_.-])(\d{4})[/-](?:0?[1-9]|1[0-2])(?:[/-](?:0?[1-9]|[12]\d|3[01]))?(?![\d])"
    r"|[?&](?:y|year|yr|cal_?year)=(\d{4})(?!\d)",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\d{4}")
_YEARS = (1900, 2200)
"""Numbers beyond are rather the ids of something; a calendar would have to cross these years."""


class Traps:
    """The settings' bounds on URLs, and what lies beyond them."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._last_year = datetime.now(UTC).year + settings.calendar_years

    def refuse(self, path: str, query: str) -> Refusal | None:
        """Why a canonical URL's path (without its first slash) and query look like a trap."""
        segments = path.split("/")
        if len(segments) > self._settings.max_path_repeats:
            segment, repeats = Counter(filter(None, segments)).most_common(1)[0]
            if repeats > self._settings.max_path_repeats:
                return Refusal("path-loop", "crawl.max_path_repeats", segment)
        if query.count("&") >= self._settings.max_query_parameters > 0 or (
            query and not self._settings.max_query_parameters
        ):
            count = f"{query.count('&') + 1} parameters"
            return Refusal("trap-parameters", "crawl.max_query_parameters", count)
        if not _YEAR.search(path) and not _YEAR.search(query):
            return None
        return self._refuse_date(f"/{path}?{query}")

    def _refuse_date(self, rest: str) -> Refusal | None:
        for found in _DATE.finditer(rest):
            year = int(found.group(1) or found.group(2))
            if self._last_year < year < _YEARS[1] or (found.group(2) and year < _YEARS[0]):
                return Refusal("trap-calendar", "crawl.calendar_years", str(year))
        return None


Family = tuple[str, str]
"""URLs that may be endless variants of one another: what they share, and the setting for them."""


def family_of(url: str) -> Family | None:
    """The family of a canonical URL: the same page with any query, or with any date in its path."""
    page, question, _ = url.partition("?")
    if question:
        return page, "max_urls_per_query_page"
    found = _DATE.search(page, page.index("/", 8))
    if found is None or not _YEARS[0] <= int(found.group(1)) < _YEARS[1]:
        return None
    return f"{page[: found.start(1)]}#{page[found.end() :]}", "max_urls_per_calendar"
