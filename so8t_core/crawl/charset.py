"""The character encoding of a page: by BOM, HTTP header, meta element, then by its bytes."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_META = re.compile(
    rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})"
    rb"|<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})",
    re.IGNORECASE,
)
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_PRESCAN_BYTES = 4096
_JIS_ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\$\([D]|\([JI])")
_WEB_NAMES = {
    **dict.fromkeys(
        ("shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji", "ms932", "windows-31j", "cp932"),
        "cp932",
    ),
    **dict.fromkeys(("euc-jp", "x-euc-jp", "eucjp", "cseucpkdfmtjapanese"), "euc_jp"),
    **dict.fromkeys(("iso-2022-jp", "csiso2022jp"), "iso2022_jp"),
    **dict.fromkeys(("utf8", "utf-8", "unicode-1-1-utf-8", "x-unicode20utf8"), "utf-8"),
    **dict.fromkeys(("iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii"), "cp1252"),
}


_NOT_OF_THE_WEB = frozenset(
    ("utf_7", "unicode_escape", "raw_unicode_escape", "punycode", "idna", "mbcs", "oem")
)
"""Python's own codecs: escapes that no browser reads, some of which give half characters."""


@dataclass(frozen=True)
class Decoded:
    """A page's text, the Python codec that gave it, and what named the codec.

    `errors` counts characters that could not be decoded and became U+FFFD.
    """

    text: str
    charset: str
    source: str
    errors: int


def decode(body: bytes, content_type: str) -> Decoded:
    """Decode a page. A declared encoding that its bytes contradict gives way to detection.

    `Shift_JIS` means windows-31j (cp932), as on the web. Source: WHATWG HTML, section 13.2.3.2,
    and WHATWG Encoding, section 4.2.
    """
    for bom, codec in _BOMS:
        if body.startswith(bom):
            return _with(body, codec, "bom")
    declared, source = _declared(body, content_type)
    text = _strictly(body, declared) if declared else None
    if declared and text is not None:
        return Decoded(text, declared, source, text.count("\ufffd"))
    detected = detect(body)
    if detected:
        return _with(body, detected, f"detected against {source}" if declared else "detected")
    return _with(body, declared or "utf-8", source if declared else "default")


def detect(body: bytes) -> str | None:
    """The codec among UTF-8, ISO-2022-JP, cp932 and EUC-JP in which the bytes read best.

    None where none of them decodes the bytes without error.
    """
    if _JIS_ESCAPE.search(body) and _fits(body, "iso2022_jp"):
        return "iso2022_jp"
    if _fits(body, "utf-8"):
        return "utf-8"
    readable = [codec for codec in ("cp932", "euc_jp") if _fits(body, codec)]
    return max(readable, key=lambda codec: _plausibility(body.decode(codec)), default=None)


def codec_name(label: str) -> str | None:
    """Python's codec for an encoding label as it is written on the web; None if there is none."""
    plain = label.strip().lower()
    if plain in _WEB_NAMES:
        return _WEB_NAMES[plain]
    try:
        info = codecs.lookup(plain)
        b"a".decode(info.name)
    except (LookupError, UnicodeError):
        return None
    return None if info.name.replace("-", "_") in _NOT_OF_THE_WEB else info.name


def _declared(body: bytes, content_type: str) -> tuple[str | None, str]:
    header = _HEADER.search(content_type)
    if header and (codec := codec_name(header.group(1))):
        return codec, "header"
    meta = _META.search(body[:_PRESCAN_BYTES])
    if meta:
        codec = codec_name((meta.group(1) or meta.group(2)).decode("ascii"))
        if codec:
            return "utf-8" if codec.startswith("utf-16") else codec, "meta"
    return None, "none"


def _strictly(body: bytes, codec: str) -> str | None:
    """The text; None where the bytes are none in this codec."""
    try:
        return body.decode(codec)
    except UnicodeDecodeError:
        return None


def _fits(body: bytes, codec: str) -> bool:
    return _strictly(body, codec) is not None


def _plausibility(text: str) -> float:
    """Share of kana and common kanji; half-width katakana and private use count against it."""
    score = 0
    wide = 0
    for character in text:
        if character < "\x80":
            continue
        wide += 1
        if "\u3040" <= character <= "\u30ff" or character in "、。「」・ー":
            score += 2
        elif "\u4e00" <= character <= "\u9fff":
            score += 1
        elif "\uff61" <= character <= "\uff9f" or "\ue000" <= character <= "\uf8ff":
            score -= 2
    return score / wide if wide else 0.0


def _with(body: bytes, codec: str, source: str) -> Decoded:
    text = body.decode(codec, errors="replace")
    return Decoded(text, codec, source, text.count("\ufffd"))
