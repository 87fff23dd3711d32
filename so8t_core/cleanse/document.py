"""What the steps of the cleansing hand to one another."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from so8t_core.contract.files import sha256_text
from so8t_core.contract.labels import SafetyLabel

_ID_DIGITS = 16


class Frozen(BaseModel):
    """A value that crosses a border between steps; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Licence(Frozen):
    """What the crawl decided of a page's licence."""

    id: str | None = None
    url: str | None = None
    evidence: str | None = None
    decision: str = "unknown"


class Drop(Frozen):
    """Why a page or a pair goes no further. `detail` never quotes the page."""

    id: str
    url: str
    step: str
    reason: str
    detail: str = ""


class Pair(Frozen):
    """An instruction pair; `output` is human text found on the page."""

    id: str
    rule: str
    instruction: str
    input: str = ""
    output: str

    @property
    def text(self) -> str:
        """All of it, the form in which pairs are compared and judged."""
        return "\n".join(part for part in (self.instruction, self.input, self.output) if part)


class Document(Frozen):
    """One page as text: normalised, personal data masked. `url` is masked as well.

    `date` and `language` are what the page says of itself (see `page_facts.py`), or empty.
    """

    id: str
    url: str
    host: str
    title: str
    text: str
    date: str = ""
    language: str = ""
    licence: Licence
    pairs: tuple[Pair, ...] = ()


class Prepared(Frozen):
    """What came of one page in the first pass: a document, or a drop; and what was counted.

    `personal_data` counts masked values by type, `bytes_in` the payload, `characters_in` the
    extracted text, `broken_json_ld` blocks that were no JSON.
    """

    document: Document | None = None
    drop: Drop | None = None
    bytes_in: int = 0
    characters_in: int = 0
    personal_data: dict[str, int] = {}
    broken_json_ld: int = 0


class Flag(Frozen):
    """A passage that must not be learned from, and why."""

    label: SafetyLabel
    categories: tuple[str, ...]
    text: str


Fate = Literal["keep", "pairs_only", "flagged", "drop"]


class Judged(Frozen):
    """What came of one document in the second pass.

    `fate`: keep (corpus and pairs), pairs_only (too short as prose), flagged (safety data alone)
    or drop. `drop` says why for every fate but keep. `dropped_pairs` are pairs left out. The
    signatures are MinHash values of the text and of each pair, as hexadecimal text.
    """

    document: Document
    fate: Fate
    drop: Drop | None = None
    flags: tuple[Flag, ...] = ()
    dropped_pairs: tuple[Drop, ...] = ()
    boilerplate_lines: int = 0
    signature: str = ""
    pair_signatures: tuple[str, ...] = ()


def identifier(*parts: str) -> str:
    """A short stable name: the first 64 bits of SHA-256 over the parts."""
    return sha256_text("\n".join(parts))[:_ID_DIGITS]
