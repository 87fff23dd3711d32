"""The two passes over single pages: each a chain of small steps, each drop with its reason.

First pass (`prepare`): licence, record, charset, extraction, masking, language. Nothing is written
before personal data is masked. Second pass (`judge`), which needs to know what a site repeats:
boilerplate, safety, quality, pairs, signatures.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from so8t_core.cleanse.boilerplate import remove_lines
from so8t_core.cleanse.dedup import sign
from so8t_core.cleanse.document import (
    Document,
    Drop,
    Fate,
    Flag,
    Judged,
    Pair,
    Prepared,
    identifier,
)
from so8t_core.cleanse.extract import Extracted, extract
from so8t_core.cleanse.instruct import cut_at_paragraph, lead_pair, without_repeats
from so8t_core.cleanse.language import JAPANESE, language_of
from so8t_core.cleanse.pii import Masked, mask, mask_url
from so8t_core.cleanse.quality import PRESETS, TOO_SHORT, reject
from so8t_core.cleanse.safety import assess
from so8t_core.cleanse.second_opinion import ask
from so8t_core.cleanse.source import PageRow, RecordDamaged, decode, read_payload
from so8t_core.cleanse.text import is_mojibake
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import CleanseSettings

NOT_JAPANESE = "not_japanese"
"""The reason of a page in another language, which the drop's detail names."""


def prepare(row: PageRow, crawl: Path, settings: CleanseSettings) -> Prepared:
    """Read one page as far as a masked document, or the reason why not."""
    url = mask_url(row.url)
    page = identifier(row.url)

    def dropped(step: str, reason: str, detail: str = "", bytes_in: int = 0) -> Prepared:
        drop = Drop(id=page, url=url, step=step, reason=reason, detail=detail)
        return Prepared(drop=drop, bytes_in=bytes_in)

    if row.licence.decision == "deny":
        return dropped("licence", "licence", row.licence.id or "")
    try:
        payload = read_payload(crawl, row)
    except RecordDamaged as error:
        return dropped("read", "record_damaged", str(error))
    size = len(payload)
    if size > settings.max_page_bytes:
        return dropped("read", "too_large", f"{size} bytes", size)
    html = decode(payload, row.charset)
    if html is None:
        return dropped("read", "unknown_charset", bytes_in=size)
    extracted = extract(html, url, settings)
    if extracted is None:
        return dropped("extract", "no_text", bytes_in=size)
    if is_mojibake(html) or is_mojibake(extracted.text):
        return dropped("extract", "mojibake", row.charset, size)
    language = language_of(extracted.text, settings.min_kana_ratio)
    if language != JAPANESE:
        return dropped("language", NOT_JAPANESE, language, size)
    masked = _masked(extracted)
    refused = sorted(kind for kind in settings.drop_personal_data if kind in masked.counts)
    if refused:
        return dropped("mask", "personal_data", ",".join(refused), size)
    return Prepared(
        document=_document(page, url, row, extracted, masked),
        bytes_in=size,
        characters_in=len(extracted.text),
        personal_data=masked.counts,
        broken_json_ld=extracted.broken_json_ld,
    )


def _masked(extracted: Extracted) -> Masked:
    """Title, text and the parts of each pair, masked together."""
    parts = [part for pair in extracted.pairs for part in (pair.instruction, pair.output)]
    return mask([extracted.title, extracted.text, *parts])


def _document(page: str, url: str, row: PageRow, extracted: Extracted, masked: Masked) -> Document:
    title, text, *parts = masked.texts
    pairs = tuple(
        pair.model_copy(update={"instruction": instruction, "output": output})
        for pair, instruction, output in zip(extracted.pairs, parts[::2], parts[1::2], strict=True)
    )
    return Document(
        id=page,
        url=url,
        host=row.host,
        title=title,
        text=text,
        date=extracted.date,
        language=extracted.language,
        licence=row.licence,
        pairs=pairs,
    )


def judge(document: Document, boilerplate: Iterable[str], settings: CleanseSettings) -> Judged:
    """Decide what becomes of a document and of each of its pairs."""
    text, removed = remove_lines(document.text, boilerplate)
    document = document.model_copy(update={"text": text})
    flag = _flag(f"{document.title}\n{text}", settings)
    if flag is not None:
        unsafe = _drop(document, "safety", flag.label.value.lower(), ",".join(flag.categories))
        document = document.model_copy(update={"pairs": ()})
        return _signed(document, "flagged", unsafe, (flag,), (), removed, settings)
    reason = reject(text, PRESETS[settings.quality_preset])
    drop = _drop(document, "quality", reason) if reason else None
    if reason and reason != TOO_SHORT:
        document = document.model_copy(update={"pairs": ()})
        return _signed(document, "drop", drop, (), (), removed, settings)
    pairs, flags, pair_drops = _judged_pairs(document, with_lead=not reason, settings=settings)
    document = document.model_copy(update={"pairs": pairs})
    fate: Fate = "keep" if not reason else "pairs_only" if pairs or flags else "drop"
    return _signed(document, fate, drop, flags, pair_drops, removed, settings)


def _judged_pairs(
    document: Document, *, with_lead: bool, settings: CleanseSettings
) -> tuple[tuple[Pair, ...], tuple[Flag, ...], tuple[Drop, ...]]:
    """The pairs that may be learned from, the flags of those that may not, and all drops."""
    lead = lead_pair(document.url, document.title, document.text, settings) if with_lead else None
    pairs, drops = without_repeats([*document.pairs, *([lead] if lead else [])], document.url)
    kept: list[Pair] = []
    flags: list[Flag] = []
    for pair in pairs:
        flag = _flag(pair.text, settings)
        if flag is None:
            kept.append(pair)
            continue
        flags.append(flag)
        reason = flag.label.value.lower()
        drops += (
            Drop(
                id=pair.id,
                url=document.url,
                step="pair_safety",
                reason=reason,
                detail=",".join(flag.categories),
            ),
        )
    return tuple(kept), tuple(flags), drops


def _flag(text: str, settings: CleanseSettings) -> Flag | None:
    verdict = assess(text)
    if verdict.label is SafetyLabel.ALLOW and settings.safety_classifier is not None:
        verdict = ask(text, settings.safety_classifier, settings)
    if verdict.label is SafetyLabel.ALLOW:
        return None
    passages = cut_at_paragraph("\n".join(verdict.passages), settings.max_safety_characters)
    return Flag(label=verdict.label, categories=verdict.categories, text=passages)


def _drop(document: Document, step: str, reason: str, detail: str = "") -> Drop:
    return Drop(id=document.id, url=document.url, step=step, reason=reason, detail=detail)


def _signed(
    document: Document,
    fate: Fate,
    drop: Drop | None,
    flags: tuple[Flag, ...],
    pair_drops: tuple[Drop, ...],
    removed: int,
    settings: CleanseSettings,
) -> Judged:
    permutations = settings.minhash_bands * settings.minhash_rows
    text = [document.text] if fate in ("keep", "flagged") else []
    signatures = sign([*text, *(pair.text for pair in document.pairs)], permutations)
    return Judged(
        document=document,
        fate=fate,
        drop=drop,
        flags=flags,
        dropped_pairs=pair_drops,
        boilerplate_lines=removed,
        signature=signatures[0] if text else "",
        pair_signatures=tuple(signatures[len(text) :]),
    )
