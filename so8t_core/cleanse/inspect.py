"""Looking into a finished cleansing: what became of a page, and examples of a reason.

The text "before" is never stored: it is read from the crawl's WARC files when somebody asks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from so8t_core.cleanse.document import Drop, identifier
from so8t_core.cleanse.extract import extract
from so8t_core.cleanse.pii import mask, mask_url
from so8t_core.cleanse.source import (
    INDEX_NAME,
    PageRow,
    RecordDamaged,
    decode,
    index_rows,
    read_payload,
)
from so8t_core.cleanse.split import SPLITS
from so8t_core.contract.errors import InputMissing
from so8t_core.contract.settings.cleanse import CleanseSettings

_TABLES = ("corpus", "instruction", "safety", "thinking")
_LEDGER = "ledger.parquet"


@dataclass(frozen=True)
class Fate:
    """What became of a page: where rows of it are, and what the ledger says, in its order."""

    id: str
    url: str
    rows: dict[str, int]
    ledger: tuple[Drop, ...]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        entries = [entry.model_dump() for entry in self.ledger]
        return {"id": self.id, "url": self.url, "rows": self.rows, "ledger": entries}


@dataclass(frozen=True)
class Example:
    """A ledger entry with the page's text before the cleansing and after it."""

    entry: Drop
    before: str
    after: str


def _ledger(cleanse: Path) -> list[Drop]:
    path = cleanse / _LEDGER
    if not path.is_file():
        raise InputMissing(
            "This run has no drop ledger.",
            where=str(path),
            hint="Its cleanse phase is not done; see `so8t status`.",
        )
    return [Drop.model_validate(row) for row in pq.read_table(path).to_pylist()]


def _rows(cleanse: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for table in _TABLES:
        for split in SPLITS:
            path = cleanse / table / f"{split}.parquet"
            if path.is_file():
                for row in pq.read_table(path).to_pylist():
                    yield f"{table}/{split}", row


def why(cleanse: Path, page: str) -> Fate | None:
    """What became of a page, by its URL or an id of the ledger; None where it is not known.

    Raises `InputMissing` where the run has no ledger.
    """
    names = {page, identifier(page), mask_url(page)}
    ledger = [entry for entry in _ledger(cleanse) if names & {entry.id, entry.url}]
    urls = {entry.url for entry in ledger} | names
    found = [
        (where, row) for where, row in _rows(cleanse) if row["url"] in urls or row["id"] in names
    ]
    if not ledger and not found:
        return None
    url = ledger[0].url if ledger else str(found[0][1]["url"])
    rows: dict[str, int] = {}
    for where, row in found:
        if row["url"] == url:
            rows[where] = rows.get(where, 0) + 1
    entries = tuple(entry for entry in _ledger(cleanse) if entry.url == url)
    own = [entry.id for entry in entries if not entry.step.startswith("pair")]
    own += [row["id"] for where, row in found if where.startswith("corpus")]
    return Fate(own[0] if own else page, url, rows, entries)


def reasons(cleanse: Path) -> dict[str, int]:
    """How many ledger entries each reason has."""
    counts: dict[str, int] = {}
    for entry in _ledger(cleanse):
        counts[entry.reason] = counts.get(entry.reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def sample(
    crawl: Path, cleanse: Path, reason: str, count: int, seed: int, settings: CleanseSettings
) -> list[Example]:
    """Entries with this reason, chosen by the seed, with the text before and after.

    "After" is the corpus's text of a kept page, the masked text of a page that was dropped later,
    and empty where nothing of the page was ever written. Raises `InputMissing`.
    """
    entries = [entry for entry in _ledger(cleanse) if entry.reason == reason]
    chosen = random.Random(seed).sample(entries, min(count, len(entries)))  # noqa: S311  no secret
    if not chosen:
        return []
    kept = {row["url"]: row["text"] for where, row in _rows(cleanse) if where.startswith("corpus")}
    pages = _pages(crawl, {entry.url for entry in chosen})
    found = []
    for entry in chosen:
        before = _before(crawl, pages.get(entry.url), settings)
        after = kept[entry.url] if entry.url in kept else mask([before]).texts[0]
        found.append(Example(entry, before, after))
    return found


def _pages(crawl: Path, urls: set[str]) -> dict[str, PageRow]:
    """The pages of the index whose masked URL is one of these."""
    if not (crawl / INDEX_NAME).is_file():
        raise InputMissing(
            "The crawl of this run is not there, so no text before the cleansing can be read.",
            where=str(crawl / INDEX_NAME),
            hint="Samples need the run's WARC files.",
        )
    rows = ((mask_url(row.url), row) for _, row in index_rows(crawl))
    return {url: row for url, row in rows if url in urls}


def _before(crawl: Path, row: PageRow | None, settings: CleanseSettings) -> str:
    if row is None:
        return ""
    try:
        payload = read_payload(crawl, row)
    except RecordDamaged:
        return ""
    html = decode(payload[: settings.max_page_bytes], row.charset)
    if html is None:
        return ""
    extracted = extract(html, row.url, settings)
    return extracted.text if extracted is not None else html
