"""The figures of one manifest as tables: scalars, groups, matrices and lists, to any depth."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from so8t_core.contract.manifest import Manifest
from so8t_core.reporting.amounts import unit_along
from so8t_core.reporting.catalogue import Catalogue
from so8t_core.reporting.document import (
    Bars,
    Block,
    Cell,
    Figure,
    Outside,
    Paragraph,
    Scalar,
    Several,
    Table,
    Words,
)

Path = tuple[str | int, ...]

_TOP: Path = ("figures",)
_REASONS = ("drop", "reason", "skipped", "refused", "rejected", "failed", "failures", "ignored")
_COUNTED = frozenset(
    {
        *("left_out", "licence_decisions", "pairs_by_rule", "personal_data_masked", "robots"),
        "unsafe_categories",
    }
)
_NAMED_BY_DATA = frozenset(
    {"charsets", "hosts", "licences", "pages_by_licence", "status", "weight_dtypes"}
)
_ROWS_SHOWN = 50
_INTERVALS = ("interval", "ci95", "range")
_JOINT = " · "


def figure_at(manifest: Manifest, *path: str | int) -> Figure | None:
    """The scalar at a path of the manifest; None where there is none."""
    value: Any = manifest.model_dump(mode="json")
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return _figure(manifest, path, value) if _is_scalar(value) else None


def figure_blocks(
    manifest: Manifest,
    catalogue: Catalogue,
    *,
    only: Collection[str] | None = None,
    without: Collection[str] = (),
) -> tuple[Block, ...]:
    """The figures of the manifest, each once, in the manifest's own order.

    `only` and `without` choose among the outermost keys. Of a table longer than 50 rows the first
    50 are shown, and that there are more is said.
    """
    chosen = {
        key: value
        for key, value in manifest.figures.items()
        if key not in without and (only is None or key in only)
    }
    return tuple(_Layout(manifest, catalogue).blocks(chosen))


class _Layout:
    """Chooses a table for each group of figures by the group's shape."""

    def __init__(self, manifest: Manifest, catalogue: Catalogue) -> None:
        self._manifest = manifest
        self._catalogue = catalogue

    def blocks(self, figures: Mapping[str, Any]) -> Iterator[Block]:
        for block in self._group(_TOP, figures, self._catalogue.words("figures")):
            yield from self._bounded(block)

    def _bounded(self, block: Block) -> Iterator[Block]:
        more = Paragraph(self._catalogue.words("more_rows"))
        if isinstance(block, Table) and len(block.rows) > _ROWS_SHOWN:
            yield from (replace(block, rows=block.rows[:_ROWS_SHOWN]), more)
        elif isinstance(block, Bars) and len(block.bars) > _ROWS_SHOWN:
            yield from (replace(block, bars=block.bars[:_ROWS_SHOWN]), more)
        else:
            yield block

    def _group(
        self, path: Path, group: Mapping[str, Any], caption: Words | Outside
    ) -> Iterator[Block]:
        simple = {key: value for key, value in group.items() if _is_simple(value)}
        nested = {key: value for key, value in group.items() if not _is_simple(value)}
        if simple:
            yield from self._pairs(path, simple, caption)
        if nested and not simple and path != _TOP and _is_matrix(nested.values()):
            yield self._matrix(path, nested, caption)
            return
        for key, value in nested.items():
            inner = self._caption(caption, key) if path != _TOP else self._label(key)
            if isinstance(value, Mapping):
                yield from self._group((*path, key), value, inner)
            else:
                yield self._listed((*path, key), value, inner)

    def _pairs(
        self, path: Path, group: Mapping[str, Any], caption: Words | Outside
    ) -> Iterator[Block]:
        rows = tuple(
            (self._row_label(path, key), self._cell((*path, key), group[key])) for key in group
        )
        bars = tuple(
            (label, cell) for label, cell in rows if isinstance(cell, Figure) and _is_count(cell)
        )
        counts = len(bars) == len(rows) and path != _TOP
        kind = self._catalogue.words("reason" if _gives_reasons(path) else "what")
        columns = (kind, self._catalogue.words("count" if counts else "value"))
        if counts and len(bars) > 1:
            yield Bars(caption, columns, tuple(sorted(bars, key=lambda bar: -_amount(bar[1]))))
        else:
            yield Table(caption, columns, rows)

    def _matrix(self, path: Path, rows: Mapping[str, Any], caption: Words | Outside) -> Table:
        flat = {key: dict(_leaves(value)) for key, value in rows.items()}
        return self._aligned(
            caption,
            [(self._row_label(path, key), (*path, key), leaves) for key, leaves in flat.items()],
        )

    def _listed(self, path: Path, items: Sequence[Any], caption: Words | Outside) -> Table:
        rows = [(None, (*path, index), dict(_leaves(item))) for index, item in enumerate(items)]
        return self._aligned(caption, rows)

    def _aligned(
        self,
        caption: Words | Outside,
        rows: Sequence[tuple[Words | Outside | None, Path, dict[Path, Any]]],
    ) -> Table:
        columns = list(dict.fromkeys(column for _, _, leaves in rows for column in leaves))
        absent = Words("")
        body: list[tuple[Cell, ...]] = []
        for label, path, leaves in rows:
            cells: list[Cell] = [] if label is None else [label]
            for column in columns:
                here = column in leaves
                cells.append(self._cell((*path, *column), leaves[column]) if here else absent)
            body.append(tuple(cells))
        heads = [self._joined(column) for column in columns]
        if rows and rows[0][0] is not None:
            heads.insert(0, self._catalogue.words("what"))
        return Table(caption, tuple(heads), tuple(body))

    def _cell(self, path: Path, value: Any) -> Cell:
        if _is_scalar(value):
            return _figure(self._manifest, path, value)
        if not value:
            return self._catalogue.words("none_there")
        figures = tuple(
            _figure(self._manifest, (*path, index), item) for index, item in enumerate(value)
        )
        name = str(next(key for key in reversed(path) if isinstance(key, str)))
        return Several(figures, len(figures) == 2 and any(mark in name for mark in _INTERVALS))

    def _row_label(self, path: Path, key: str) -> Words | Outside:
        """The label of a member of the group at `path`."""
        if path[-1] in _NAMED_BY_DATA:
            return Outside(key)
        if _gives_reasons(path) or path[-1] in _COUNTED:
            return self._catalogue.reason(key)
        return self._label(key)

    def _label(self, key: str) -> Words | Outside:
        return self._catalogue.label(key)

    def _joined(self, keys: Path) -> Words | Outside:
        labels = [self._label(str(key)) for key in keys] or [self._catalogue.words("value")]
        text = _JOINT.join(label.text for label in labels)
        return Words(text) if all(isinstance(label, Words) for label in labels) else Outside(text)

    def _caption(self, outer: Words | Outside, key: str) -> Words | Outside:
        inner = self._label(key)
        text = f"{outer.text}{_JOINT}{inner.text}"
        both = isinstance(outer, Words) and isinstance(inner, Words)
        return Words(text) if both else Outside(text)


def _gives_reasons(path: Path) -> bool:
    return any(mark in str(path[-1]) for mark in _REASONS)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if _is_simple(value):
        yield path, value
    else:
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in pairs:
            yield from _leaves(inner, (*path, key))


def _figure(manifest: Manifest, path: Path, value: Scalar) -> Figure:
    return Figure(manifest.phase, path, value, manifest.manifest_sha256)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _is_count(figure: Figure) -> bool:
    value = figure.value
    counted = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return counted and unit_along(figure.path) is None


def _is_simple(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not value
    return _is_scalar(value) or all(_is_scalar(item) for item in value)


def _is_matrix(values: Any) -> bool:
    return all(
        isinstance(value, Mapping) and any(_is_simple(inner) for inner in value.values())
        for value in values
    )


def _amount(figure: Figure) -> float:
    return float(figure.value or 0)
