"""The report, read in the terminal: Markdown from the run's own file, as text and nothing more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Markdown, OptionList, Static
from textual.widgets.option_list import Option

from so8t_core.contract.rundir import RunDir
from so8t_core.contract.series import Series
from so8t_tui.locale import Words
from so8t_tui.metrics import GROUPS, curves_of
from so8t_tui.screens.choose import ChooseDialog
from so8t_tui.text import harmless_block, outside
from so8t_tui.widgets.chart import Chart
from so8t_tui.widgets.panel import Panel, Scene

FILE_NAME = "report.md"
PAGE_NAME = "report.html"
LIMIT_BYTES = 400_000
_LINK = re.compile(r"\[([^\]\n]*)\]\(([^()\s]+)\)")
_DEEPEST = 3


@dataclass(frozen=True)
class Link:
    """A link of the report: its text and where it leads, as written."""

    text: str
    href: str


def links_of(text: str) -> list[Link]:
    """The links of a Markdown text, each once."""
    found = {Link(outside(m[1], 80), outside(m[2], 300)): None for m in _LINK.finditer(text)}
    return list(found)


class Report(Panel):
    """Says when the report will be there; then shows it, with contents and plots."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "contents", "Contents", id="report.contents"),
        Binding("p", "plots", "Plots", id="report.plots"),
        Binding("f", "links", "Links", id="report.links"),
        Binding("b", "browser", "Browser", id="report.browser"),
        Binding("o", "path", "Path", id="report.path", show=False),
    ]

    def __init__(self, words: Words, run: RunDir) -> None:
        super().__init__(words)
        self._folder = run.phase("report")
        self._digest: str | None = None
        self._text = ""

    @property
    def path(self) -> Path:
        """Where the report is or will be."""
        return self._folder / FILE_NAME

    def compose(self) -> ComposeResult:
        words = self.words
        yield Static(Content(words("The report appears when all phases are done.")), id="note")
        with Horizontal(id="plots"):
            for group in GROUPS[:2]:
                yield Chart(words(group.title), words("Drawn from the first step on."))
        with Horizontal():
            yield OptionList(id="contents")
            with VerticalScroll(id="paper"):
                yield Markdown("", open_links=False)

    def show(self, scene: Scene) -> None:
        series = scene.seen.state.phases["train"].series
        for group, chart in zip(GROUPS, self.query(Chart), strict=False):
            chart.put(curves_of(group, series or {"": Series()}, self.words))
        view = scene.seen.state.phases["report"]
        digest = view.digest if view.state == "done" else None
        if digest == self._digest:
            return
        self._digest = digest
        if digest is not None:
            self._load()

    def _load(self) -> None:
        note, words = self.query_one("#note", Static), self.words
        try:
            with self.path.open("rb") as file:
                raw = file.read(LIMIT_BYTES + 1)
        except OSError as error:
            text = words(
                "The report cannot be read: {why}. It should be at {path}",
                why=error.strerror,
                path=outside(self.path),
            )
            note.update(Content(text))
            note.display = True
            return
        self._text = harmless_block(raw[:LIMIT_BYTES].decode("utf-8", errors="replace"))
        note.display = len(raw) > LIMIT_BYTES
        long = words("The report is long; this is its beginning. `o` names the file.")
        note.update(Content(long))
        self.query_one(Markdown).update(self._text)
        self.set_class(bool(self._text), "-loaded")

    @on(Markdown.TableOfContentsUpdated)
    def _parsed(self, event: Markdown.TableOfContentsUpdated) -> None:
        event.stop()
        contents = self.query_one("#contents", OptionList)
        contents.clear_options()
        for level, title, block in event.table_of_contents:
            if level <= _DEEPEST and block is not None:
                style = "bold $ink" if level <= 2 else "$soft"
                indented = "  " * (level - 1) + outside(title, 80)
                contents.add_option(Option(Content.styled(indented, style), id=block))

    def focus_target(self) -> Widget | None:
        return self.query_one("#paper")

    def copy_text(self) -> str:
        return self._text

    @on(OptionList.OptionSelected, "#contents")
    def _heading_chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one(f"#{event.option_id}").scroll_visible(top=True, animate=False)
        self.query_one("#paper").focus()

    def action_contents(self) -> None:
        """Go to the contents, or back to the text."""
        contents = self.query_one("#contents")
        self.toggle_class("-contents")
        (contents if self.has_class("-contents") else self.query_one("#paper")).focus()

    def action_plots(self) -> None:
        """Show or hide the curves of the training."""
        self.toggle_class("-plots")

    def action_links(self) -> None:
        """Choose a link; its target is copied and named, never followed by itself."""
        links = links_of(self._text)

        def chosen(index: int | None) -> None:
            if index is not None:
                self._tell_target(links[index].href)

        names = [f"{link.text}  {link.href}" for link in links]
        empty = self.words("The report has no links.")
        self.app.push_screen(ChooseDialog(self.words, self.words("Links"), names, empty), chosen)

    def _tell_target(self, href: str) -> None:
        local = "://" not in href and not href.startswith("#")
        target = str((self._folder / href).resolve()) if local else href
        self.app.copy_to_clipboard(target)
        shown = outside(target, 300)
        self.app.notify(shown, title=self.words("Link, copied"), markup=False)

    def action_browser(self) -> None:
        """Open the page that lies beside the report in the user's browser."""
        page = self._folder / PAGE_NAME
        if not page.is_file():
            text = self.words("There is no page yet: {path}", path=outside(page))
            self.app.notify(text, severity="warning", markup=False)
            return
        self.app.open_url(page.resolve().as_uri())
        self.app.notify(outside(page, 300), title=self.words("Opened"), markup=False)

    def action_path(self) -> None:
        """Say where the report is."""
        self.app.notify(outside(self.path, 300), title=self.words("Report"), markup=False)

    @on(Markdown.LinkClicked)
    def _link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Links are named, not followed."""
        event.stop()
        self._tell_target(outside(event.href, 300))
