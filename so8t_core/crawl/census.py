"""What a frontier holds, counted: every figure of a crawl that describes its URLs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from so8t_core.crawl.masking import mask, mask_url


class Census:
    """Read-only questions to a frontier's database: what is committed is counted."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def counts(self) -> dict[str, int]:
        """URLs by state; `kept` counts those with a page."""
        counts = dict.fromkeys(("queued", "done", "refused", "failed", "deferred"), 0)
        counts |= dict(self._db.execute("SELECT state, sum(n) FROM counts GROUP BY state"))
        counts["kept"] = self.kept()
        return counts

    def kept(self) -> int:
        """Pages that are kept."""
        row = self._db.execute("SELECT value FROM tallies WHERE name = 'kept'").fetchone()
        return int(row[0]) if row else 0

    def rules(self, state: str) -> dict[str, int]:
        """URLs of a state by the rule that put them there."""
        return dict(
            self._db.execute(
                "SELECT rule, n FROM counts WHERE state = ? AND rule != '' AND n > 0 ORDER BY rule",
                (state,),
            )
        )

    def host_outcomes(self) -> dict[str, dict[str, int]]:
        """For each host, URLs by state, and `kept`; hosts out of scope are left out."""
        found: dict[str, dict[str, int]] = {}
        rows = self._db.execute(
            "SELECT host, state, count(*), count(pages.url) FROM urls LEFT JOIN pages USING (url)"
            " WHERE rule IS NOT 'scope' GROUP BY host, state ORDER BY host, state"
        )
        for host, state, count, kept in rows:
            outcomes = found.setdefault(host, {"kept": 0})
            outcomes[state] = count
            outcomes["kept"] += kept
        return found

    def host_reasons(self) -> dict[str, str]:
        """For each host, the most frequent reason that a URL of it was not kept."""
        rows = self._db.execute(
            "SELECT host, rule, coalesce(detail, ''), count(*) AS found FROM urls"
            " WHERE rule IS NOT NULL GROUP BY host, rule ORDER BY host, found, rule"
        )
        return {
            host: f"{rule} {mask_url(detail) if '://' in detail else mask(detail)}".strip()
            for host, rule, detail, _ in rows
        }

    def robots_outcomes(self) -> dict[str, int]:
        """Origins by what became of asking for their robots.txt."""
        return dict(
            self._db.execute("SELECT outcome, count(*) FROM robots GROUP BY outcome ORDER BY 1")
        )

    def pages(self) -> Iterator[str]:
        """The kept pages' lines of the page index, in order of their URLs."""
        rows = self._db.execute("SELECT line FROM pages ORDER BY url")
        return (page for (page,) in rows)
