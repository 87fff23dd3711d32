"""What is wrong, where, and what to do next: a few lines that appear only when needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.content import Content
from textual.widgets import Static

from so8t_tui.text import outside

Severity = Literal["bad", "caution", "good"]


@dataclass(frozen=True)
class Remark:
    """One remark: its first line is the message, the others say where and what next."""

    severity: Severity
    lines: tuple[str, ...]


class Notice(Static):
    """Hidden while there is nothing to say."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._shown: Remark | None = None

    def put(self, remark: Remark | None) -> None:
        """Show a remark, or none."""
        if remark == self._shown:
            return
        self._shown = remark
        self.display = remark is not None
        if remark is not None:
            style = f"${remark.severity}"
            first, *others = [outside(line, 300) for line in remark.lines]
            self.update(
                Content("\n").join(
                    [
                        Content.styled(first, f"bold {style}"),
                        *(Content.styled(line, "$soft") for line in others),
                    ]
                )
            )
            self.set_classes(f"-{remark.severity}")
