"""Which of many robots.txt patterns decides about a path, in time that hardly grows with them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote_from_bytes

_PLAIN = re.compile(r"[A-Za-z0-9_.~/=-]*")
_PLAIN_PATTERN = re.compile(r"/[A-Za-z0-9_.~/=*-]*\$?")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_STARS = re.compile(r"\*{2,}")
_KEPT_OF_PATHS = frozenset(b"/%")
_KEPT_OF_PATTERNS = frozenset(b"/%*")


class Rule(NamedTuple):
    """A pattern with what it says of the paths that it fits, and how it was written."""

    pattern: str
    allows: bool
    written: str


class _Wild(NamedTuple):
    """A rule with `*`: what stands between the stars, and whether the last piece ends the path."""

    rank: tuple[int, bool]
    pieces: tuple[str, ...]
    is_anchored: bool
    rule: Rule

    def fits(self, path: str) -> bool:
        """Whether it matches; each piece is looked for once, from where the last one ended."""
        at = len(self.pieces[0])  # the caller has found the first piece
        for piece in self.pieces[1:-1]:
            found = path.find(piece, at)
            if found < 0:
                return False
            at = found + len(piece)
        last = self.pieces[-1]
        if self.is_anchored:
            return len(path) - len(last) >= at and path.endswith(last)
        return path.find(last, at) >= 0


class Matcher:
    """Rules, ready to be asked which of them decides about a path.

    The longest pattern that fits wins, Allow before Disallow where two are as long. `*` stands for
    any characters, `$` at the end for the end of the path; elsewhere, and also there, `$` may stand
    for itself. A path is looked up by its beginnings, one for each length that patterns have, so
    thousands of plain rules cost what a few do; of those with `*` only such are tried whose first
    piece the path begins with, and those cost as much as they have stars (`wildcards` in all).
    /robots.txt itself is always allowed. Source: RFC 9309, section 2.2.2 and 2.2.3.
    """

    def __init__(self, rules: Iterable[tuple[str, str]]) -> None:
        """`rules`: field (`allow` or `disallow`) and pattern, in any order."""
        self._plain: dict[str, Rule] = {}
        self._exact: dict[str, Rule] = {}
        self._wild: dict[str, list[_Wild]] = {}
        for field, written in rules:
            for variant in (written, written.replace("$", "%24")) if "$" in written else (written,):
                self._add(Rule(_spelled_pattern(variant), field == "allow", written))
        for sharing in self._wild.values():
            sharing.sort(key=lambda wild: wild.rank, reverse=True)
        self.wildcards = sum(len(wild.pieces) - 1 for kin in self._wild.values() for wild in kin)
        self._plain_lengths = sorted({len(pattern) for pattern in self._plain}, reverse=True)
        self._wild_lengths = sorted({len(first) for first in self._wild})

    def _add(self, rule: Rule) -> None:
        pattern = rule.pattern
        if "*" in pattern:
            is_anchored = pattern.endswith("$")
            pieces = _STARS.sub("*", pattern.removesuffix("$")).split("*")
            wild = _Wild((len(pattern), rule.allows), tuple(pieces), is_anchored, rule)
            self._wild.setdefault(pieces[0], []).append(wild)
            return
        rules = self._exact if pattern.endswith("$") else self._plain
        key = pattern.removesuffix("$")
        known = rules.get(key)
        if pattern and (known is None or rule.allows):
            rules[key] = rule

    def deciding(self, url: str) -> Rule | None:
        """The rule that decides about a canonical URL; None where none fits."""
        path = _spelled_path("/" + url.split("/", 3)[3])
        if path == "/robots.txt":
            return None
        best = self._exact.get(path)
        if best is None:
            for length in self._plain_lengths:
                if length <= len(path) and (best := self._plain.get(path[:length])):
                    break
        rank = (len(best.pattern), best.allows) if best else (0, False)
        for length in self._wild_lengths:
            if length > len(path):
                break
            for wild in self._wild.get(path[:length], ()):
                if wild.rank <= rank:
                    break
                if wild.fits(path):
                    rank, best = wild.rank, wild.rule
                    break
        return best


def _spelled_path(path: str) -> str:
    return path if _PLAIN.fullmatch(path) else _spelled(path, _KEPT_OF_PATHS, "/%=")


def _spelled_pattern(pattern: str) -> str:
    """A pattern as it is compared; one that is written as a whole URL is taken for a path."""
    if _PLAIN_PATTERN.fullmatch(pattern):
        return pattern
    if pattern.startswith(("http://", "https://")):
        pattern = f"/{pattern}"
    plain = pattern.removesuffix("$")
    end = "$" if len(plain) < len(pattern) else ""
    return _spelled(plain, _KEPT_OF_PATTERNS, "/%=*") + end


def _spelled(text: str, kept: frozenset[int], safe: str) -> str:
    """The one spelling: escapes undone but those of `kept`, then all escaped that needs it."""

    def undo(found: re.Match[bytes]) -> bytes:
        octet = bytes.fromhex(found.group(1).decode())
        return found.group().upper() if octet[0] in kept else octet

    octets = _ESCAPE.sub(undo, text.encode("utf-8", "surrogatepass"))
    return quote_from_bytes(octets, safe=safe)
