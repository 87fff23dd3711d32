"""Sitemaps and feeds: the URLs that they name, newest first, within limits."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from so8t_core.crawl.encoding import EncodingRefused, Inflater, inflater

_ELEMENTS_A_URL = 10
"""More than these, for each URL that is taken, and no more is read: each stays in memory."""
_TEXT_ENCODING = "utf-8-sig"
_WIDE = (
    *((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")),
    *((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")),
)
_DECLARED = re.compile(r"^(\s*<\?xml[^>]{0,100}?)\sencoding\s*=\s*[\"'][^\"'>]*[\"']")


@dataclass(frozen=True)
class Listed:
    """What a sitemap or feed names.

    `urls` and `sitemaps` as they are written; `left_out`: URLs beyond the limit; `trouble`: where
    reading stopped early, empty where it did not.
    """

    urls: tuple[str, ...]
    sitemaps: tuple[str, ...] = ()
    left_out: int = 0
    trouble: str = ""


def read_listing(body: bytes, kind: Literal["sitemap", "feed"], limits: tuple[int, int]) -> Listed:
    """Read a sitemap (XML, text, index; gzip or not) or a feed (RSS, Atom).

    `limits`: bytes after decompression, and URLs; with more URLs those changed last are taken.
    A file that breaks off is read as far as it goes. Source: sitemaps.org protocol 0.9; RSS 2.0;
    RFC 4287 (Atom).
    """
    max_bytes, max_urls = limits
    body, trouble = _unpacked(body, max_bytes)
    body = _in_octets(body)
    start = body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start != b"<" and kind == "feed":
        return Listed((), trouble="no XML")
    if start != b"<":
        return _read_text(body, max_urls, trouble)
    found: list[tuple[str, str]] = []
    sitemaps: list[str] = []
    trouble = _read_xml(body, kind, found, sitemaps, max_urls) or trouble
    newest = sorted(found, key=lambda entry: entry[1], reverse=True)[:max_urls]
    kept = set(newest)
    urls = [url for url, lastmod in found if (url, lastmod) in kept][:max_urls]
    return Listed(
        tuple(dict.fromkeys(urls)), tuple(dict.fromkeys(sitemaps)), len(found) - len(urls), trouble
    )


def _unpacked(body: bytes, max_bytes: int) -> tuple[bytes, str]:
    if not body.startswith(b"\x1f\x8b"):
        return body[:max_bytes], "longer than the limit" if len(body) > max_bytes else ""
    unpack = inflater("gzip")
    assert isinstance(unpack, Inflater)
    whole = b""
    try:
        whole = unpack.feed(body, max_bytes + 1)
        if len(whole) <= max_bytes:
            unpack.check_whole()
    except EncodingRefused as error:
        return whole, str(error)
    return whole[:max_bytes], "longer than the limit" if len(whole) > max_bytes else ""


def _in_octets(body: bytes) -> bytes:
    """A body in UTF-16 as UTF-8, what it says of its encoding taken away; others as they are.

    With a byte order mark, or by the zeros beside its first `<`. Source: XML 1.0, appendix F.1.
    """
    codec = next((name for start, name in _WIDE if body.startswith(start)), None)
    if codec is None:
        return body
    text = body[: len(body) // 2 * 2].decode(codec, "replace").removeprefix("\ufeff")
    return _DECLARED.sub(r"\1", text, count=1).encode("utf-8", "replace")


def _read_text(body: bytes, max_urls: int, trouble: str) -> Listed:
    lines = body.decode(_TEXT_ENCODING, "replace").split()
    urls = [line for line in lines if line.startswith(("http://", "https://"))]
    return Listed(tuple(dict.fromkeys(urls[:max_urls])), (), max(0, len(urls) - max_urls), trouble)


def _read_xml(
    body: bytes, kind: str, found: list[tuple[str, str]], sitemaps: list[str], max_urls: int
) -> str:
    """Fill `found` with (URL, date) and `sitemaps`; what went wrong, or nothing."""
    events = etree.iterparse(
        io.BytesIO(body),
        events=("end",),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        for read, (_, node) in enumerate(events):
            if read > _ELEMENTS_A_URL * max_urls:
                return f"more than {_ELEMENTS_A_URL * max_urls} elements"
            name = etree.QName(node).localname.lower()
            if kind == "sitemap" and name in ("url", "sitemap"):
                url, date = _child(node, "loc"), _child(node, "lastmod")
                if url and name == "sitemap":
                    sitemaps.append(url)
                elif url:
                    found.append((url, date))
                node.clear()
            elif kind == "feed" and name in ("item", "entry"):
                if url := _feed_link(node):
                    found.append((url, _child(node, "updated") or _child(node, "published")))
                node.clear()
    except etree.XMLSyntaxError as error:
        return f"malformed: {error.msg}"
    return ""


def _named(node: etree._Element, name: str) -> bool:
    """By its name without namespace; a prefix that is declared nowhere stays part of the tag."""
    if not isinstance(node.tag, str):
        return False
    return node.tag.rpartition("}")[2].rpartition(":")[2].lower() == name


def _child(node: etree._Element, name: str) -> str:
    for child in node:
        if _named(child, name):
            return (child.text or "").strip()
    return ""


def _feed_link(node: etree._Element) -> str:
    for child in node:
        if _named(child, "link") and child.get("rel", "alternate") == "alternate":
            return str(child.get("href") or child.text or "").strip()
    return ""
