"""What is wrong, where, and what to do next: a few lines that appear only when needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.content import Content
from textual.widgets import Static

from so8t_tui.text import outside

Severity = Literal["bad", "caution"]


@dataclass(frozen=True)
class Remark:
    """One notice: its first line is the message, the others say where and what next."""

    severity: Severity
    lines: tuple[str, ...]


class Notice(Static):
    """Hidden while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._shown: Remark | None = None

    def put(self, warning: Remark | None) -> None:
        """Show a notice, or none."""
        if warning == self._shown:
            return
        self._shown = warning
        self.display = warning is not None
        if warning is not None:
            style = f"${warning.severity}"
            first, *others = [outside(line, 300) for line in warning.lines]
            self.update(
                Content("\n").join(
                    [
                        Content.styled(first, f"bold {style}"),
                        *(Content.styled(line, "$soft") for line in others),
                    ]
                )
            )
            self.set_class(warning.severity == "bad", "-bad")
