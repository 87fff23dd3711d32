"""What a crawl says in its own short names: rules, kinds of failure, and what a host does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from so8t_tui.amounts import as_float
from so8t_tui.locale import Words
from so8t_tui.text import outside

RULES: Mapping[str, str] = {
    "address": "address not public",
    "address-refused": "address not public",
    "bad-http": "no proper HTTP",
    "broken-body": "broken answer",
    "connect": "no connection",
    "content-type": "kind of content",
    "crawl-delay": "delay too long",
    "depth": "too far away",
    "disconnected": "broken off",
    "dns": "no such host",
    "encoding": "encoding",
    "extension": "kind of file",
    "host-budget": "budget of its host",
    "host-pages": "pages of its host",
    "host-suspended": "host given up",
    "licence-allow-noncommercial": "licence: non-commercial",
    "licence-deny": "licence: refused",
    "licence-unknown": "licence: not known",
    "max-pages": "pages in all",
    "no-text": "no text",
    "nofollow": "nofollow",
    "noindex": "noindex",
    "path-loop": "path in a loop",
    "redirect": "redirect refused",
    "redirect-malformed": "redirect malformed",
    "redirects": "too many redirects",
    "reservation-unheard": "reservation not heard",
    "retry-after": "asked to come later",
    "robots": "robots.txt",
    "robots-too-costly": "robots.txt too large",
    "robots-unasked": "robots.txt not asked",
    "robots-unreachable": "robots.txt not to be had",
    "scope": "out of scope",
    "timeout": "no answer in time",
    "tls": "TLS",
    "too-large": "too large",
    "too-nested": "too nested",
    "trap-calendar": "trap: calendar",
    "trap-family": "trap: family",
    "trap-parameters": "trap: parameters",
    "unread": "not read",
    "url-malformed": "URL malformed",
    "warc-damaged": "WARC damaged",
}
"""The names by which the crawler counts, in words."""
_STATES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), wording)
    for pattern, wording in (
        (r"fetching", "fetching"),
        (r"waiting (?P<left>[\d.]+) s: (?P<why>.*)", "waits {left} s: {why}"),
        (r"(?P<why>.*): set aside until (?P<time>\S+)", "{why}: set aside until {time}"),
        (r"its turn", "its turn"),
        (r"delay", "its delay"),
        (r"resumed", "just resumed"),
        (r"its address (?P<address>\S+) is shared", "its address {address} is shared"),
        (r"(?P<file>\S+) is not to be had", "{file} is not to be had"),
        (r"(?P<count>\d+) failures in a row", "{count} failures in a row"),
    )
)
STATES: tuple[str, ...] = tuple(wording for _, wording in _STATES)


def rule_name(name: object, words: Words) -> str:
    """A rule or kind of failure in the interface's language; unknown ones as they are."""
    told = outside(name, 60)
    if re.fullmatch(r"http-\d+", told):
        return "HTTP " + told.removeprefix("http-")
    return words(RULES[told]) if told in RULES else words(told.replace("_", " "))


def rules_of(value: object, words: Words) -> tuple[tuple[str, float], ...]:
    """The counts by rule, largest first; those that read the same are added up."""
    if not isinstance(value, Mapping):
        return ()
    sums: dict[str, float] = {}
    for name, count in value.items():
        if isinstance(count, int | float) and not isinstance(count, bool):
            told = rule_name(name, words)
            sums[told] = sums.get(told, 0.0) + as_float(count)
    return tuple(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))


def host_state(text: object, words: Words) -> str:
    """What a host does in the interface's language; an unknown saying as it is."""
    told = outside(text, 200)
    for pattern, wording in _STATES:
        if found := pattern.fullmatch(told):
            parts = {
                name: host_state(part, words) if name == "why" else part
                for name, part in found.groupdict().items()
            }
            return words(wording, **parts)
    return told
