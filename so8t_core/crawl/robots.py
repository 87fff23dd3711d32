"""robots.txt after RFC 9309: which rules speak to us, and what they forbid.

Groups and product tokens are read here, since the libraries for it miss tokens with versions, byte
order marks and groups that go on across unknown lines; `matching` finds the rule that decides.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import quote_from_bytes

from so8t_core.crawl.encoding import GZIP, EncodingRefused, Inflater
from so8t_core.crawl.matching import Matcher

MAX_ROBOTS_BYTES = 512_000

_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_FIELDS = {
    **dict.fromkeys(("user-agent", "useragent", "user agent"), "user-agent"),
    **dict.fromkeys(("disallow", "dissallow", "dissalow", "disalow", "diasllow"), "disallow"),
    "disallaw": "disallow",
    "allow": "allow",
    **dict.fromkeys(("crawl-delay", "crawl delay", "crawldelay"), "crawl-delay"),
    **dict.fromkeys(("sitemap", "site-map"), "sitemap"),
    **dict.fromkeys(("content-signal", "content-usage"), "usage"),
}
_LOOSE_LINE = re.compile(r"(user[- ]?agent|diss?all?[oa]w|allow|crawl[- ]?delay)\s+(.*)", re.I)
_DELAY = re.compile(r"(\d{1,12}(?:[.,]\d{0,12})?)\s*(ms|min|[smh]?)")
_UNITS_S = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0, "h": 3600.0}
_PRINTABLE = re.compile(r"[ -~]*")
_ASCII_KEPT = "".join(chr(code) for code in range(0x21, 0x7F))


Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Group:
    """What a robots.txt says to us: `rules` as (field, pattern), in the file's order.

    `ai_rules`: the rules of crawlers that gather text for training, by product token, where the
    file names them and not us. `usage`: what Content-Signal and Content-Usage lines say of
    training, as rules.
    """

    rules: Rules = ()
    ai_rules: tuple[tuple[str, Rules], ...] = ()
    usage: Rules = ()
    crawl_delay_s: float = 0.0
    sitemaps: tuple[str, ...] = ()


def parse(body: bytes, token: str, ai_tokens: tuple[str, ...] = ()) -> Group:
    """The rules of a robots.txt that apply to a product token (any case).

    At most 500 KiB are read. Groups that name the token are merged; where none does, those of `*`
    are, and those that name one of `ai_tokens` speak to us too. Only Allow and Disallow end a list
    of User-agent lines. Source: RFC 9309, section 2.2; contentsignals.org; the IETF's draft on
    attaching usage preferences (aipref-attach).
    """
    groups: list[_Read] = []
    sitemaps: list[str] = []
    open_names = False
    for name, value in _lines(body):
        if name == "sitemap":
            sitemaps.append(value)
        elif name == "user-agent":
            if not open_names:
                groups.append((set(), [], [], []))
            open_names = True
            groups[-1][0].add(_agent(value))
        elif groups and name == "crawl-delay":
            delay = _seconds(value)
            if delay is not None:
                groups[-1][2].append(delay)
        elif groups and name == "usage":
            groups[-1][3].extend(training_rules(value))
        elif name in ("allow", "disallow"):
            open_names = False
            if groups and value:
                groups[-1][1].append((name, value))
    mine = [group for group in groups if token.lower() in group[0]]
    chosen = mine or [group for group in groups if "*" in group[0]]
    named = {} if mine else {name: _merged(groups, name.lower()) for name in ai_tokens}
    return Group(
        rules=tuple(rule for group in chosen for rule in group[1]),
        ai_rules=tuple((name, rules) for name, rules in named.items() if rules),
        usage=tuple(rule for group in chosen for rule in group[3]),
        crawl_delay_s=max((delay for group in chosen for delay in group[2]), default=0.0),
        sitemaps=tuple(sitemaps),
    )


_Read = tuple[set[str], list[tuple[str, str]], list[float], list[tuple[str, str]]]
"""A group as it is read: its agents, its rules, its Crawl-delays, its words on usage."""


def training_rules(value: str) -> Rules:
    """A usage preference as rules: `/path ai-train=no` forbids /path, `train-ai=y` allows all."""
    path, _, rest = value.strip().partition(" ") if value.startswith("/") else ("/", "", value)
    for pair in rest.split(","):
        name, _, wish = (part.strip().lower() for part in pair.partition("="))
        if name in ("ai-train", "train-ai") and wish in ("n", "no", "y", "yes"):
            return (("disallow" if wish[0] == "n" else "allow", path),)
    return ()


def _merged(groups: list[_Read], agent: str) -> Rules:
    return tuple(rule for group in groups if agent in group[0] for rule in group[1])


def _lines(body: bytes) -> list[tuple[str, str]]:
    body = _unpacked(body)
    whole = body[:MAX_ROBOTS_BYTES]
    if len(body) > MAX_ROBOTS_BYTES:
        whole = whole[: max(whole.rfind(b"\n"), whole.rfind(b"\r")) + 1]
    if whole.startswith((b"\xff\xfe", b"\xfe\xff")):
        whole = whole.decode("utf-16", "replace").encode()
    found = []
    for raw in re.split(rb"[\r\n]+", whole.replace(b"\xef\xbb\xbf", b"").replace(b"\0", b"")):
        line = raw.decode("utf-8", "surrogateescape").partition("#")[0].strip()
        name, colon, value = line.partition(":")
        field = _FIELDS.get(name.strip().lower()) if colon else None
        loose = _LOOSE_LINE.fullmatch(line) if field is None else None
        if loose:
            field, value = _FIELDS.get(loose.group(1).lower()), loose.group(2)
        if field:
            value = value.strip()
            if not _PRINTABLE.fullmatch(value):
                octets = value.encode("utf-8", "surrogateescape")
                value = quote_from_bytes(octets, safe=_ASCII_KEPT + " ")
            found.append((field, value))
    return found


def _unpacked(body: bytes) -> bytes:
    """What a file that is sent as a gzip file holds; any other as it is."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return Inflater(GZIP).feed(body, MAX_ROBOTS_BYTES + 1)
    except EncodingRefused:
        return body


def _agent(value: str) -> str:
    if value.startswith("*"):
        return "*"
    token = _TOKEN.match(value)
    return token.group().lower() if token else ""


def _seconds(value: str) -> float | None:
    """A Crawl-delay in seconds, with a unit or without, whichever decimal sign it has."""
    try:
        seconds = float(value)
    except ValueError:
        found = _DELAY.match(value.lower())
        if found is None:
            return None
        seconds = float(found.group(1).replace(",", ".")) * _UNITS_S[found.group(2)]
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


class RuleSet:
    """Rules of one crawler, ready to be asked about URLs."""

    def __init__(self, rules: Rules) -> None:
        self._matcher = Matcher(rules)

    @property
    def wildcards(self) -> int:
        """How many `*` its rules have: what it costs to ask about one URL."""
        return self._matcher.wildcards

    def forbidding(self, url: str) -> str | None:
        """The line that forbids a canonical URL, or None where it is allowed."""
        rule = self._matcher.deciding(url)
        return None if rule is None or rule.allows else f"Disallow: {rule.written}"
