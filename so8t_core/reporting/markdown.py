"""A report as Markdown (GitHub's dialect), for reading in a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import assert_never

from so8t_core.contract.plain import plain_text
from so8t_core.reporting.catalogue import Catalogue
from so8t_core.reporting.document import (
    Bars,
    Block,
    Bullets,
    Cell,
    Code,
    Curve,
    Figure,
    Intervals,
    Outside,
    Paragraph,
    Report,
    Several,
    Table,
    Words,
)
from so8t_core.reporting.plots import interval_text, sparkline

_MARKS = re.compile(r"([\\`*\[\]<>#|~&@!$]|(?<![^\W_])_|_(?![^\W_]))")
_LIST_START = re.compile(r"^(\d*)([-+=.)])")
_BAR_WIDTH = 24


def to_markdown(report: Report, catalogue: Catalogue) -> str:
    """The whole report; text from outside is escaped, so that it forms no markup."""
    return _Writer(catalogue).report(report)


def escaped(text: str) -> str:
    """Text from outside on one line, every mark of Markdown and every bare link made inert."""
    line = _MARKS.sub(r"\\\1", plain_text(text))
    line = line.replace("://", r"\://").replace("www.", r"www\.").replace("WWW.", r"WWW\.")
    return _LIST_START.sub(_guarded, line)


def _guarded(start: re.Match[str]) -> str:
    """A beginning that could open a list: its mark escaped, unless it is a plain decimal."""
    number, mark = start.groups()
    followed = start.string[start.end() :]
    return start[0] if number and followed[:1].isdigit() else f"{number}\\{mark}"


class _Writer:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def report(self, report: Report) -> str:
        parts = [f"# {report.title.text}", *map(self._block, report.lead)]
        if report.tiles:
            parts.append(self._bullets([(label, figure) for label, figure in report.tiles]))
        for section in report.sections:
            parts.append(f"## {section.title.text}")
            parts.extend(map(self._block, section.blocks))
        return "\n\n".join(parts) + "\n"

    def _block(self, block: Block) -> str:
        match block:
            case Paragraph():
                return self._cell(block.content)
            case Bullets():
                return self._bullets(block.items)
            case Table():
                return self._table(block)
            case Bars():
                return self._bars(block)
            case Intervals():
                return self._intervals(block)
            case Curve():
                shape = sparkline([value for _, value in block.points])
                return f"{self._cell(block.caption)}: `{shape}`"
            case Code():
                return f"```{block.language}\n{block.text}\n```"
            case _:
                assert_never(block)

    def _intervals(self, block: Intervals) -> str:
        lines = [f"**{self._cell(block.caption)}**", ""]
        for number, (label, value, low, high) in enumerate(block.rows):
            drawn = interval_text(*block.shares(number))
            ends = f"{self._cell(low)} … {self._cell(high)}"
            lines.append(f"- `{drawn}` {self._cell(label)}: {self._cell(value)} ({ends})")
        return "\n".join(lines)

    def _bullets(self, items: Sequence[Sequence[Cell]]) -> str:
        return "\n".join("- " + ": ".join(map(self._cell, item)) for item in items)

    def _table(self, table: Table) -> str:
        lines = [self._row(table.columns), self._row([Words("---")] * len(table.columns))]
        lines.extend(map(self._row, table.rows))
        body = "\n".join(lines)
        return f"**{self._cell(table.caption)}**\n\n{body}" if table.caption else body

    def _row(self, cells: Sequence[Cell]) -> str:
        return f"| {' | '.join(map(self._cell, cells))} |"

    def _bars(self, bars: Bars) -> str:
        rows = tuple(
            (label, figure, Words("█" * round(length * _BAR_WIDTH)))
            for (label, figure), length in zip(bars.bars, bars.lengths(), strict=True)
        )
        return self._table(Table(bars.caption, (*bars.columns, Words("")), rows))

    def _cell(self, cell: Cell) -> str:
        match cell:
            case Words():
                return cell.text
            case Outside():
                return escaped(cell.text)
            case Figure():
                return self._value(cell)
            case Several():
                text = cell.joint.join(self._catalogue.values(cell))
                return escaped(text) if any(_is_text(item) for item in cell.figures) else text
            case _:
                assert_never(cell)

    def _value(self, figure: Figure) -> str:
        text = self._catalogue.value(figure)
        return escaped(text) if _is_text(figure) else text


def _is_text(figure: Figure) -> bool:
    return isinstance(figure.value, str)
