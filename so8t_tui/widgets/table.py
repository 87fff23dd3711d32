"""A table whose columns are as wide as what stands in them, also right after that has changed."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import DataTable
from textual.widgets.data_table import CellKey


class Table(DataTable[Text]):
    """Textual's table, without lines that were drawn before their columns grew.

    It measures changed cells once it is idle. A paint that comes before that keeps its lines, cut
    to the older widths, until the next change.
    """

    def _update_column_widths(self, updated_cells: set[CellKey]) -> None:
        super()._update_column_widths(updated_cells)
        self._clear_caches()
        self.refresh()
