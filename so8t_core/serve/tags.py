"""What is, and what looks like, a tag of a thinking part; and text from outside without any."""

from __future__ import annotations

import re

from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.serve.disguise import resolve, skeleton, visible

LONGEST_TAG = max(map(len, SEQUENCE))
EXACT_TAG = re.compile("|".join(map(re.escape, SEQUENCE)))

# In a skeleton l and i are one sign, and there are no spaces
_NAMES = tuple(skeleton(part.value) for part in Part)
_TAG_LIKE = re.compile(r"<[/\\]*(?:think|finai)(?:[^<>]{0,256}>|[a-z-]{0,16}$)")
_BARS = "|│❘ǀ∣▏"
_CONTROL_LIKE = re.compile(rf"[<‹〈⟨❮«]\s*[{_BARS}][^<>{_BARS}]{{1,40}}[{_BARS}]\s*[>›〉⟩❯»]")
_OPEN_END = re.compile(r"<[/\\]*([a-z-]{0,16})$")
_TAIL_CHARACTERS = 96
_MOST_BEGUN = 32
_ANGLES = "<＜﹤‹〈⟨〈ᐸ❮❬❰⧼≺«《˂𐑭"
"""Characters that begin a tag alone."""
_ESCAPE_BEGUN = re.compile(r"(?:&#?[0-9A-Za-z]{0,8}|%[0-9A-Fa-f]?|\\[uUx]?\{?[0-9A-Fa-f]{0,8})$")

# How a bracket can be written in a text that some later reader decodes
_BRACKETS = {
    "[": re.compile(
        rf"[{_ANGLES}]|&(?:amp;)*(?:lt|#0*60|#x0*3c);?|%(?:25)*3c"
        r"|\\+u\{?0*3c\}?|\\+x3c|\\+074",
        re.IGNORECASE,
    ),
    "]": re.compile(
        r"[>＞﹥›〉⟩〉ᐳ❯❭❱⧽≻»》˃]|&(?:amp;)*(?:gt|#0*62|#x0*3e);?|%(?:25)*3e"
        r"|\\+u\{?0*3e\}?|\\+x3e|\\+076",
        re.IGNORECASE,
    ),
}


def looks_like_tag(text: str) -> bool:
    """Whether something in the text is, or passes for, a thinking tag or a control token.

    Upper case, attributes, spaces, entities, percent and JSON escapes, zero-width and full-width
    characters and look-alikes make no difference.
    """
    return any(
        _TAG_LIKE.search(skeleton(reading)) is not None
        or _CONTROL_LIKE.search(visible(reading)) is not None
        for reading in _readings(text)
    )


def _readings(text: str) -> list[str]:
    """The text as it stands, and decoded; one whose decoding never ends counts as a tag."""
    resolved = resolve(text)
    if resolved is None:
        return [Part.FINAL.opener]
    return [text] if resolved == text else [text, resolved]


def ends_in_begun_tag(text: str) -> bool:
    """Whether the text ends in two or more characters that may be the beginning of a tag."""
    return any(
        len(found.group()) > 1 and _is_begun(found)
        for reading in _readings(text[-_TAIL_CHARACTERS:])
        if (found := _OPEN_END.search(skeleton(reading))) is not None
    )


def _is_begun(found: re.Match[str]) -> bool:
    return any(name.startswith(found.group(1)) for name in _NAMES)


def without_begun_tag(text: str) -> str:
    """The text up to where the beginning of a tag, or of an escape, may stand at its end.

    For an answer that was cut off at the limit of tokens. Nothing is left of one that ends in more
    than 32 of them, brackets alone aside: each takes some time to find.
    """
    for _ in range(_MOST_BEGUN):
        text = _without_begun_escape(text).rstrip(_ANGLES)
        at = _begun_at(text)
        if at is None:
            return text
        text = text[:at]
    return ""


def _without_begun_escape(text: str) -> str:
    tail = text[-_TAIL_CHARACTERS:]
    return text[: len(text) - len(tail)] + _ESCAPE_BEGUN.sub("", tail)


def _begun_at(text: str) -> int | None:
    """Where the beginning of a tag at the end of a text begins; None where there is none."""
    for at in range(max(0, len(text) - _TAIL_CHARACTERS), len(text)):
        for reading in _readings(text[at:]):
            found = _OPEN_END.fullmatch(skeleton(reading))
            if found is not None and _is_begun(found):
                return at
    return None


def neutralise(text: str) -> str:
    """Text from outside; where it holds anything like a tag, all its angle brackets are square.

    Text without such a thing is returned as it is, so that code and formulas are not harmed.
    """
    if not looks_like_tag(text):
        return text
    if resolve(text) is None:
        text = re.sub(r"[&%\\]", " ", text)
    while True:
        plain = text
        for bracket, forms in _BRACKETS.items():
            plain = forms.sub(bracket, plain)
        if not looks_like_tag(plain):
            return plain
        if plain == text:
            # a disguise that no pattern above undoes: only its skeleton's brackets can be trusted
            return re.sub(r"[<>]", " ", skeleton(resolve(plain) or ""))
        text = plain
