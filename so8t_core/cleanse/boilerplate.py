"""Lines that a site repeats on many of its pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from so8t_core.cleanse.document import identifier
from so8t_core.cleanse.spill import Spill
from so8t_core.cleanse.text import comparable

Lines = Mapping[str, frozenset[str]]
"""Names of the boilerplate lines of each host."""

_MOST_OF_PAGE = 0.5
_LINE = np.dtype([("key", np.uint64), ("host", np.uint32), ("page", np.uint64)])
_PAGE = np.dtype([("key", np.uint64), ("host", np.uint32)])


def line_name(line: str) -> str:
    """Name under which equal lines are counted; empty for a line without letters."""
    letters = comparable(line)
    return identifier(letters) if letters else ""


class LineCensus:
    """Counts on how many different pages of a host each line occurs, on disk.

    Pages with the same text count once, so that copies of a page do not turn its own text into
    boilerplate. Memory holds one number a host.
    """

    def __init__(self, min_pages: int, min_share: float, scratch: Path) -> None:
        self.min_pages = min_pages
        self.min_share = min_share
        self._hosts: dict[str, int] = {}
        self._lines = Spill(scratch, "lines", _LINE)
        self._pages = Spill(scratch, "pages", _PAGE)

    def add(self, host: str, text: str) -> None:
        """Count one page."""
        number = self._hosts.setdefault(host, len(self._hosts))
        page = int(identifier(comparable(text)), 16)
        names = {name for line in text.split("\n") if (name := line_name(line))}
        self._pages.add(np.array([(page, number)], dtype=_PAGE))
        records = [(int(name, 16), number, page) for name in names]
        self._lines.add(np.array(records, dtype=_LINE))

    def repeated(self) -> Lines:
        """The lines that so many of a host's pages carry that they say nothing."""
        pages = np.zeros(len(self._hosts), dtype=np.int64)
        for records in self._pages.ranges():
            pages += np.bincount(np.unique(records)["host"], minlength=len(pages))
        least = np.maximum(self.min_pages, self.min_share * pages)
        found: dict[int, set[str]] = {}
        for records in self._lines.ranges():
            different = np.unique(records)
            lines, counts = np.unique(different[["key", "host"]], return_counts=True)
            for key, host in lines[counts >= least[lines["host"]]].tolist():
                found.setdefault(host, set()).add(f"{key:016x}")
        names = list(self._hosts)
        return {names[host]: frozenset(lines) for host, lines in sorted(found.items())}


def remove_lines(text: str, names: Iterable[str]) -> tuple[str, int]:
    """The text without the named lines, and how many went.

    A page that would lose more than half of its characters keeps them all: there the lines are
    the content (copies with small changes), which the search for duplicates settles.
    """
    unwanted = frozenset(names)
    lines = text.split("\n")
    kept = [line for line in lines if line_name(line) not in unwanted]
    removed = len(lines) - len(kept)
    shorter = "\n".join(kept).strip()
    if not removed or len(shorter) < _MOST_OF_PAGE * len(text):
        return text, 0
    return shorter, removed
