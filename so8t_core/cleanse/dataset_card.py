"""The card that goes with the data sets: sources, licences, counts, drops, limits, hashes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t_core.cleanse.split import SPLITS
from so8t_core.contract.files import write_text

_DATA_SETS = ("corpus", "instruction", "safety", "thinking")
_PURPOSE = """\
Public Japanese web pages, cleansed: a corpus of prose, instruction pairs whose targets are human
text found on the pages, and safety data.

**The safety data serves detection and refusal only.** Text labelled DENY, REFUSE or ESCALATION is
in no other data set and must not be used to generate text. Its `response` texts are refusals
written for this project and are synthetic; rows labelled ALLOW are harmless passages of the corpus
without a response, for classification. What could not be judged is labelled ESCALATION.

The thinking data has answers in four parts. The parts before `<final>` are written by rule from
the ledger and are synthetic; each row names its synthetic parts. `<final>` is text of people: the
page's, or a refusal written for this project.

Personal and confidential data was masked by typed placeholders such as 〔電話番号〕 before anything
was written. Masking is by rule: names far from any such data are not recognised.

Pages are split by groups of near-duplicates, and no text of one split has a Jaccard index of
character 5-grams at or above the threshold with a text of another.
"""


def write_card(
    path: Path,
    hosts: Mapping[str, int],
    figures: Mapping[str, Any],
    files: Mapping[str, str],
) -> None:
    """Write the card durably. It holds no times and is equal when written again.

    `hosts` counts the corpus's pages by host.
    """
    parts = [
        _front_matter(),
        f"# Cleansed Japanese web pages\n\n{_PURPOSE}",
        _table("Rows", ("data set", *SPLITS), _row_counts(figures)),
        _table("Sources", ("host", "pages"), sorted(hosts.items())),
        _counts("Licences", ("licence", "pages"), figures["pages_by_licence"]),
        _counts("Pages left out", ("reason", "pages"), figures["dropped_by_reason"]),
        _counts("Instruction pairs", ("rule", "pairs"), figures["pairs_by_rule"]),
        _counts("Safety data", ("label", "rows"), figures["safety_rows_by_label"]),
        _counts("Personal data masked", ("type", "values"), figures["personal_data_masked"]),
        _counts("Files (SHA-256)", ("file", "hash"), files),
    ]
    write_text(path, "\n".join(parts))


def _front_matter() -> str:
    lines = ["---", "language:", "- ja", "configs:"]
    for name in _DATA_SETS:
        lines += [f"- config_name: {name}", "  data_files:"]
        for split in SPLITS:
            lines += [f"  - split: {split}", f"    path: {name}/{split}.parquet"]
    return "\n".join([*lines, "---", ""])


def _row_counts(figures: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(name, *(figures["rows"][name][split] for split in SPLITS)) for name in _DATA_SETS]


def _counts(title: str, head: tuple[str, str], counts: Mapping[str, Any]) -> str:
    return _table(title, head, sorted(counts.items()))


def _table(title: str, head: tuple[str, ...], rows: list[Any]) -> str:
    if not rows:
        return f"## {title}\n\nNone.\n"
    cells = [head, ("---",) * len(head), *rows]
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in cells]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    """A value that cannot break out of its cell."""
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
