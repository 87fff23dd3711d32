"""Text as a reader or a later decoder might see it: escapes resolved, look-alikes made plain."""

from __future__ import annotations

import html
import re
import unicodedata
from urllib.parse import unquote

_ROUNDS = 8
_MOST_MARKS = 30
_ESCAPE = re.compile(
    r"\\u\{([0-9a-fA-F]{1,6})\}|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\x([0-9a-fA-F]{2})"
    r"|\\([0-7]{3})"
)
_ESCAPED_SLASH = re.compile(r"\\+/")
_TERMINAL_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Mn", "Me"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Shapes that pass for the letters and signs of a tag (Unicode's confusables, those that matter)
_LOOK_ALIKES = {
    "<": "‹〈⟨ᐸ❮❬❰⧼≺«《˂𐑭",
    ">": "›〉⟩ᐳ❯❭❱⧽≻»》˃",
    "/": "∕⁄╱⟋⧸〳丿ノ",
    "-": "‐‑‒–—―−﹘ー➖۔",
    "a": "аαɑạ⍺",
    "c": "сϲᴄⅽ",
    "e": "еҽεєℯ",
    "f": "ƒſꞙ",
    "h": "һհℎ",
    "i": "іıιɩꙇӏl|!1ɪ",
    "k": "кκҡᴋ",
    "n": "ոռηпɴ",
    "o": "оοօσᴏ0",
    "p": "рρϱ",
    "s": "ѕꜱ",
    "t": "тτᴛ",
    "y": "уүγʏ",
}
_PLAIN = str.maketrans(
    {shape: letter for letter, shapes in _LOOK_ALIKES.items() for shape in shapes}
)

# Digits and signs that stand for letters, other shapes of letters, and one kana for two
_LETTER_SHAPES = {
    "a": "4@ᴀ", "b": "68ʙ", "d": "ᴅ", "e": "3€ᴇ", "f": "ꜰ", "g": "9ɢ", "h": "#ʜ", "j": "ᴊ",
    "l": "ʟ", "m": "ᴍ", "p": "ᴘ", "q": "ǫ", "r": "ʀ", "s": "5$", "t": "7+†", "u": "ᴜ", "v": "ᴠ",
    "w": "ᴡ", "z": "2ᴢ",
}  # fmt: skip
_BOXED = (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)  # squared, circled, regional indicator: A to Z
_LETTERS = str.maketrans(
    {shape: letter for letter, shapes in _LETTER_SHAPES.items() for shape in shapes}
    | {chr(first + at): chr(ord("a") + at) for first in _BOXED for at in range(26)}
    | {chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)}
)


def _resolved(text: str) -> str:
    """One round of entities, percent signs and backslash escapes."""
    text = _ESCAPE.sub(lambda match: _character(int(*_code(match))), html.unescape(text))
    return unquote(_ESCAPED_SLASH.sub("/", text), errors="replace")


def _code(match: re.Match[str]) -> tuple[str, int]:
    octal = match.group(5)
    return (octal, 8) if octal else (next(filter(None, match.groups())), 16)


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else REPLACEMENT


def resolve(text: str) -> str | None:
    """The text without entities, percent and backslash escapes, whatever they are nested in.

    None where eight rounds do not come to an end: nobody writes that in good faith.
    """
    for _ in range(_ROUNDS):
        plain = _resolved(text)
        if plain == text:
            return text
        text = plain
    return None


def stream_safe(text: str) -> str:
    """The text with at most 30 combining characters in a row (UAX #15, section 13).

    Normalising sorts each such run in quadratic time, with the interpreter locked.
    """
    if text.isascii():
        return text
    kept: list[str] = []
    run = 0
    for character in text:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= _MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def visible(text: str) -> str:
    """NFKD in lower case, without what is not seen: controls, format and combining characters."""
    plain = stream_safe(_TERMINAL_SEQUENCE.sub("", text))
    folded = unicodedata.normalize("NFKD", plain).casefold()
    return "".join(
        character
        for character in folded
        if (unicodedata.category(character) not in _INVISIBLE or character in "\n\t\r")
        and character != REPLACEMENT
    )


def skeleton(text: str) -> str:
    """`visible` text without spaces, each look-alike replaced by the sign that it passes for."""
    return "".join(visible(text).translate(_PLAIN).split())


def letters(text: str) -> str:
    """Letters and digits alone, in one case, width, script and kana: what a quotation keeps.

    Look-alikes of other scripts, and digits and signs that pass for letters, count as those.
    """
    plain = visible(text).translate(_PLAIN).translate(_LETTERS)
    return "".join(filter(str.isalnum, plain))
