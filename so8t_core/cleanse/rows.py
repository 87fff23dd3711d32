"""From a page and what was decided about it to its rows in the data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from so8t_core.cleanse.document import Judged, Pair, identifier
from so8t_core.cleanse.instruct import cut_at_paragraph
from so8t_core.cleanse.refusals import refusal
from so8t_core.cleanse.tables import CorpusRow, InstructionRow, SafetyRow
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import CleanseSettings


@dataclass
class PageRows:
    """The rows of one page, or of all pages with one URL."""

    corpus: list[CorpusRow] = field(default_factory=list)
    instruction: list[InstructionRow] = field(default_factory=list)
    safety: list[SafetyRow] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Every text that may not stand on both sides of a split."""
        return [
            *(row.text for row in self.corpus),
            *(row.comparable_text for row in self.instruction),
            *(row.text for row in self.safety),
        ]


@dataclass(frozen=True)
class Chosen:
    """What was decided about a page that stays.

    `harmless`: its text is shown as harmless beside the flagged ones.
    """

    text: str
    pairs: Sequence[Pair]
    group: str
    harmless: bool


def rows_of(page: Judged, chosen: Chosen, settings: CleanseSettings) -> PageRows:
    """The rows of a page that stays."""
    document = page.document
    licence = document.licence.id or "unknown"
    rows = PageRows()
    if page.fate == "keep":
        rows.corpus.append(
            CorpusRow(
                id=document.id,
                url=document.url,
                host=document.host,
                title=document.title,
                text=chosen.text,
                date=document.date,
                language=document.language,
                licence=licence,
                group=chosen.group,
            )
        )
    rows.instruction += [
        InstructionRow(
            id=pair.id,
            instruction=pair.instruction,
            input=pair.input,
            output=pair.output,
            rule=pair.rule,
            url=document.url,
            host=document.host,
            licence=licence,
            group=chosen.group,
        )
        for pair in chosen.pairs
    ]
    rows.safety += _safety_rows(page, chosen, settings)
    return rows


def _safety_rows(page: Judged, chosen: Chosen, settings: CleanseSettings) -> list[SafetyRow]:
    document = page.document
    rows = []
    for flag in page.flags:
        row_id = identifier(document.id, flag.text)
        text = flag.text or cut_at_paragraph(chosen.text, settings.max_safety_characters)
        rows.append(
            SafetyRow(
                id=row_id,
                text=text,
                label=flag.label.value,
                categories=list(flag.categories),
                response=refusal(flag.label, row_id),
                url=document.url,
                group=chosen.group,
            )
        )
    if chosen.harmless:
        rows.append(
            SafetyRow(
                id=identifier(document.id, SafetyLabel.ALLOW.value),
                text=cut_at_paragraph(chosen.text, settings.max_safety_characters),
                label=SafetyLabel.ALLOW.value,
                categories=[],
                response="",
                url=document.url,
                group=chosen.group,
            )
        )
    return rows
