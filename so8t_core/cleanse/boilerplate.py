"""Lines that a site repeats on many of its pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from so8t_core.cleanse.document import identifier
from so8t_core.cleanse.text import comparable

Lines = Mapping[str, frozenset[str]]
"""Names of the boilerplate lines of each host."""

_MOST_OF_PAGE = 0.5


def line_name(line: str) -> str:
    """Name under which equal lines are counted; empty for a line without letters."""
    letters = comparable(line)
    return identifier(letters) if letters else ""


@dataclass
class LineCensus:
    """Counts on how many different pages of a host each line occurs.

    Pages with the same text count once, so that copies of a page do not turn its own text into
    boilerplate.
    """

    min_pages: int
    min_share: float

    def __post_init__(self) -> None:
        self._lines: dict[str, Counter[str]] = defaultdict(Counter)
        self._pages: dict[str, set[str]] = defaultdict(set)

    def add(self, host: str, text: str) -> None:
        """Count one page."""
        page = identifier(comparable(text))
        if page in self._pages[host]:
            return
        self._pages[host].add(page)
        self._lines[host].update({line_name(line) for line in text.split("\n")} - {""})

    def repeated(self) -> dict[str, frozenset[str]]:
        """The lines that so many of a host's pages carry that they say nothing."""
        found = {}
        for host, lines in self._lines.items():
            least = max(self.min_pages, self.min_share * len(self._pages[host]))
            names = frozenset(name for name, pages in lines.items() if pages >= least)
            if names:
                found[host] = names
        return found


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
