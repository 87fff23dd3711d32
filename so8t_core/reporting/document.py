"""A report as data: sections of blocks whose figures still know where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from so8t_core.contract.phases import PhaseName

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Figure:
    """One value of a manifest.

    `path` is the key path inside the manifest, such as `("figures", "drops", "too_short")`;
    a number in it is an index into a list. `name` is the key that says what the value is, and in
    which unit (`size_bytes`, `loss_bits_per_byte`).
    """

    phase: PhaseName
    path: tuple[str | int, ...]
    value: Scalar
    manifest_sha256: str

    @property
    def name(self) -> str:
        """The last key of the path that is a word."""
        return next(str(key) for key in reversed(self.path) if isinstance(key, str))


@dataclass(frozen=True)
class Words:
    """Prose of our own, from the catalogue. It may carry Markdown's `code` marks."""

    text: str


@dataclass(frozen=True)
class Outside:
    """Text from outside (keys, reasons, notes, titles, URLs): escaped wherever it is drawn."""

    text: str


@dataclass(frozen=True)
class Several:
    """Values of one list, side by side. `interval`: there are two, the ends of a range."""

    figures: tuple[Figure, ...]
    interval: bool = False

    @property
    def joint(self) -> str:
        """What stands between two of them."""
        return " – " if self.interval else ", "


Cell = Figure | Several | Words | Outside


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    content: Words | Outside


@dataclass(frozen=True)
class Bullets:
    """An unordered list; a tuple is a line whose parts are set side by side."""

    items: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells under named columns."""

    caption: Words | Outside | None
    columns: tuple[Words | Outside, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Bars:
    """A table of counts with a bar for each, the largest first.

    `columns` name the label and the count; every figure is a number that is not negative.
    """

    caption: Words | Outside
    columns: tuple[Words | Outside, Words | Outside]
    bars: tuple[tuple[Words | Outside, Figure], ...]

    def lengths(self) -> tuple[float, ...]:
        """The bars' lengths, as shares of the longest."""
        amounts = [float(figure.value or 0) for _, figure in self.bars]
        longest = max(amounts, default=0.0) or 1.0
        return tuple(amount / longest for amount in amounts)


@dataclass(frozen=True)
class Source:
    """An output file of a phase, as its manifest records it."""

    phase: PhaseName
    path: str
    sha256: str
    manifest_sha256: str


@dataclass(frozen=True)
class Curve:
    """A series over steps, read from a hashed output of a phase.

    `points` are (step, value) with ascending steps, at most as many as are to be drawn.
    """

    caption: Words | Outside
    name: str
    points: tuple[tuple[int, float], ...]
    source: Source


@dataclass(frozen=True)
class Intervals:
    """Differences around zero: label, value, lower and upper end of its interval."""

    caption: Words
    rows: tuple[tuple[Words | Outside, Figure, Figure, Figure], ...]

    def reach(self) -> float:
        """The largest distance from zero of any end; 1 where all are zero."""
        ends = (abs(float(end.value or 0)) for _, *row in self.rows for end in row)
        return max(ends, default=0.0) or 1.0

    def shares(self, row: int) -> tuple[float, float, float]:
        """Value, lower and upper end as places from 0 to 1 on a line whose middle is zero."""
        value, low, high = (
            0.5 + float(figure.value or 0) / self.reach() / 2 for figure in self.rows[row][1:]
        )
        return value, low, high


@dataclass(frozen=True)
class Code:
    """Lines to be typed."""

    language: Literal["sh", "python"]
    text: str


Block = Paragraph | Bullets | Table | Bars | Intervals | Curve | Code


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it. `key` is its anchor."""

    key: str
    title: Words
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """The whole report."""

    language: str
    title: Words
    lead: tuple[Block, ...]
    tiles: tuple[tuple[Words, Figure], ...]
    sections: tuple[Section, ...]

    def blocks(self) -> tuple[Block, ...]:
        """Every block, in reading order."""
        return self.lead + tuple(block for section in self.sections for block in section.blocks)

    def figures(self) -> tuple[Figure, ...]:
        """Every figure that the report shows, in reading order, without repeats."""
        shown: dict[Figure, None] = dict.fromkeys(figure for _, figure in self.tiles)
        for block in self.blocks():
            shown.update(dict.fromkeys(_figures_of(block)))
        return tuple(shown)

    def curves(self) -> tuple[Curve, ...]:
        """Every curve."""
        return tuple(block for block in self.blocks() if isinstance(block, Curve))


def _figures_of(block: Block) -> tuple[Figure, ...]:
    if isinstance(block, Table):
        cells: tuple[Cell, ...] = tuple(cell for row in block.rows for cell in row)
    elif isinstance(block, Bullets):
        cells = tuple(cell for item in block.items for cell in item)
    elif isinstance(block, Bars):
        cells = tuple(figure for _, figure in block.bars)
    elif isinstance(block, Intervals):
        cells = tuple(figure for _, *row in block.rows for figure in row)
    else:
        cells = ()
    found: list[Figure] = []
    for cell in cells:
        if isinstance(cell, Figure):
            found.append(cell)
        elif isinstance(cell, Several):
            found.extend(cell.figures)
    return tuple(found)
