"""The report, read in the terminal: Markdown from the run's own file, as text and nothing more."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Markdown, Static

from so8t_core.contract.rundir import RunDir
from so8t_tui.locale import Words
from so8t_tui.text import harmless_block, outside
from so8t_tui.widgets.panel import Panel, Scene

FILE_NAME = "report.md"
LIMIT_BYTES = 400_000


class Report(Panel):
    """Says when the report will be there; then shows it."""

    def __init__(self, words: Words, run: RunDir) -> None:
        super().__init__(words)
        self._path = run.phase("report") / FILE_NAME
        self._digest: str | None = None
        self._text = ""

    @property
    def path(self) -> Path:
        """Where the report is or will be."""
        return self._path

    def compose(self) -> ComposeResult:
        yield Static(Content(self.words("The report appears when all phases are done.")), id="note")
        with VerticalScroll(id="paper"):
            yield Markdown("", open_links=False)

    def show(self, scene: Scene) -> None:
        view = scene.seen.state.phases["report"]
        digest = view.digest if view.state == "done" else None
        if digest == self._digest:
            return
        self._digest = digest
        if digest is not None:
            self._load()

    def _load(self) -> None:
        note = self.query_one("#note", Static)
        try:
            with self._path.open("rb") as file:
                raw = file.read(LIMIT_BYTES + 1)
        except OSError as error:
            note.update(
                Content(
                    self.words(
                        "The report cannot be read: {why}. It should be at {path}",
                        why=error.strerror,
                        path=outside(self._path),
                    )
                )
            )
            note.display = True
            return
        self._text = harmless_block(raw[:LIMIT_BYTES].decode("utf-8", errors="replace"))
        note.display = len(raw) > LIMIT_BYTES
        note.update(
            Content(self.words("The report is long; this is its beginning. `o` names the file."))
        )
        self.query_one(Markdown).update(self._text)

    def focus_target(self) -> Widget | None:
        return self.query_one("#paper")

    def copy_text(self) -> str:
        return self._text

    @on(Markdown.LinkClicked)
    def _link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Links are named, not followed."""
        event.stop()
        self.app.notify(outside(event.href, 300), title=self.words("Link"), markup=False)
