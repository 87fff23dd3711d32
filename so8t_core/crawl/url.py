"""Canonical URLs: one spelling for each page, after the WHATWG URL standard."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote_from_bytes, unquote_to_bytes, urljoin, urlsplit

import idna

_DEFAULT_PORT = {"http": 80, "https": 443}
_BAD_PORTS = frozenset(
    (
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179),
        *(389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601),
        *(636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000),
        *(6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    )
)
"""Ports of other protocols, whose servers might take a request for a command of theirs."""
_UNRESERVED = "-._~"
_PATH_SAFE = _UNRESERVED + "!$&'()*+,;=:@/[]|"
_QUERY_SAFE = _UNRESERVED + "!$&()*+,;=:@/?[]|{}^`\\"
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_PLAIN_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PATH_SESSION = re.compile(r";(jsessionid|phpsessid|sid)=[^/?;]*", re.IGNORECASE)
_SEGMENT = r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*"
_PLAIN_LINK = re.compile(
    rf"(?:(https?://[a-z0-9.-]+(?::[0-9]+)?)(?=/)|(?=/))?((?:/?{_SEGMENT})?(?:/{_SEGMENT})*/?)"
    r"(?:\?([A-Za-z0-9_.~=&-]*))?(?:\#.*)?"
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}):")
_SPECIAL = re.compile(r"https?:", re.IGNORECASE)
_FULL_STOPS = str.maketrans("。．｡", "...")
_LONGEST = 4  # times the limit: what is longer as it is written will not get short enough
_EDGE = "".join(map(chr, range(0x21)))


@dataclass(frozen=True)
class BadUrl:
    """A link that is no URL of ours: the rule that says so, and what was wrong."""

    rule: str
    detail: str


def canonicalise(
    raw: str,
    *,
    base: str | None = None,
    drop_parameters: Sequence[str] = (),
    max_chars: int = 2000,
    query_encoding: str = "utf-8",
) -> str | BadUrl:
    """The one spelling of an absolute or (with `base`) relative http or https URL.

    Scheme and host in lower case, the host in IDNA (UTS 46), numeric IPv4 forms written out, no
    default port, no fragment, dot segments resolved, escapes in upper case and only where needed,
    query parameters that match `drop_parameters` (globs in lower case) removed. Characters of a
    query that are not ASCII are encoded in the page's own encoding, as browsers do. Ports of other
    protocols are refused. Source: WHATWG URL, sections 3.5, 4.4; WHATWG Fetch, section 2.9; RFC
    3986, section 6.2.2.
    """
    text = raw.strip(_EDGE).translate({0x09: None, 0x0A: None, 0x0D: None})
    if len(text) > _LONGEST * max_chars:
        named = _SCHEME.match(text)
        if named and named.group(1).lower() not in _DEFAULT_PORT:
            return BadUrl("url-scheme", named.group(1).lower())
        return BadUrl("url-length", f"{len(text)} characters")
    text = _with_authority(_forward_slashes(text), base)
    try:
        parts = urlsplit(urljoin(base, text) if base else text)
        port = parts.port
    except ValueError as error:
        return BadUrl("url-malformed", str(error))
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return BadUrl("url-malformed", "half a character")
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORT:
        return BadUrl("url-scheme", scheme or "relative without a base")
    if port in _BAD_PORTS:
        return BadUrl("url-port", str(port))
    if "@" in parts.netloc:
        return BadUrl("url-credentials", "user name in the URL")
    host = _canonical_host(parts.hostname or "")
    if host is None:
        return BadUrl("url-host", parts.hostname or "empty")
    authority = host if port in (None, _DEFAULT_PORT[scheme]) else f"{host}:{port}"
    path = _PATH_SESSION.sub("", _canonical_path(parts.path))
    query = _canonical_query(parts.query, drop_parameters, query_encoding)
    url = f"{scheme}://{authority}{path}" + (f"?{query}" if query else "")
    if len(url) > max_chars:
        return BadUrl("url-length", f"{len(url)} characters")
    return url


class Linker:
    """`canonicalise` for the links of one page: the same spellings, found faster.

    Most links are plain already; only the others take the long way.
    """

    def __init__(
        self, base: str, *, drop_parameters: Sequence[str], max_chars: int, query_encoding: str
    ) -> None:
        """`base` is a canonical URL."""
        self._base = base
        self._origin = origin_of(base)
        self._folder = base.partition("?")[0].rpartition("/")[0]
        self._drop = tuple(drop_parameters)
        self._max_chars = max_chars
        self._query_encoding = query_encoding

    def __call__(self, href: str) -> str | BadUrl:
        plain = _PLAIN_LINK.fullmatch(href) if len(href) <= self._max_chars else None
        if plain is not None:
            origin, path, query = plain.groups()
            if path and (origin is None or _is_canonical(origin)):
                start = origin or (self._origin if path[0] == "/" else self._folder + "/")
                kept = _canonical_query(query, self._drop, "ascii") if query else ""
                url = f"{start}{path}?{kept}" if kept else start + path
                if len(url) <= self._max_chars:
                    return url
        return canonicalise(
            href,
            base=self._base,
            drop_parameters=self._drop,
            max_chars=self._max_chars,
            query_encoding=self._query_encoding,
        )


@lru_cache(maxsize=4096)
def _is_canonical(origin: str) -> bool:
    return canonicalise(origin + "/") == origin + "/"


def host_of(url: str) -> str:
    """The host of a canonical URL, without port; the unit of politeness."""
    authority = url.split("/", 3)[2]
    if authority.startswith("["):
        return authority[: authority.index("]") + 1]
    return authority.partition(":")[0]


def origin_of(url: str) -> str:
    """Scheme, host and port of a canonical URL: what one robots.txt speaks for."""
    scheme, _, authority, *_ = url.split("/", 3)
    return f"{scheme}//{authority}"


def _forward_slashes(text: str) -> str:
    cut = min((at for at in (text.find("?"), text.find("#")) if at >= 0), default=len(text))
    return text[:cut].replace("\\", "/") + text[cut:]


def _with_authority(text: str, base: str | None) -> str:
    """The text with exactly two slashes before its host, however many are written.

    `http:///e.jp/` and `http:/e.jp/` name the host e.jp, but a single slash or none after the
    scheme of the base is relative to it. Source: WHATWG URL, section 4.4, the states from `special
    authority slashes` to `special authority ignore slashes`.
    """
    scheme = _SPECIAL.match(text)
    if scheme is not None:
        rest = text[scheme.end() :]
        bare = rest.lstrip("/")
        same = base is not None and base.startswith(scheme.group().lower())
        if same and len(rest) - len(bare) < 2:
            return rest if rest else "#"
        return f"{scheme.group()}//{bare}"
    return "//" + text.lstrip("/") if base is not None and text.startswith("///") else text


@lru_cache(maxsize=4096)
def _canonical_host(host: str) -> str | None:
    if ":" in host:
        try:
            return f"[{IPv6Address(host).compressed}]"
        except AddressValueError:
            return None
    try:
        decoded = unquote_to_bytes(host).decode("utf-8").translate(_FULL_STOPS).lower().rstrip(".")
    except UnicodeDecodeError:
        return None
    if not (decoded.isascii() and _PLAIN_HOST.fullmatch(decoded) and "xn--" not in decoded):
        try:
            decoded = idna.encode(decoded, uts46=True).decode("ascii").lower().rstrip(".")
        except idna.IDNAError:
            return None
    if len(decoded) > 253 or any(len(label) > 63 for label in decoded.split(".")):
        return None
    last = decoded.rpartition(".")[2]
    if last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last):
        return _ipv4(decoded)
    return decoded


def _ipv4(host: str) -> str | None:
    """WHATWG IPv4 parser: one to four parts, each decimal, octal or hexadecimal."""
    parts = host.split(".")
    if len(parts) > 4:
        return None
    numbers = []
    for part in parts:
        base = 16 if part.startswith("0x") else 8 if part.startswith("0") and part != "0" else 10
        try:
            numbers.append(int(part.removeprefix("0x") or "0", base))
        except ValueError:
            return None
    *leading, last = numbers
    if any(number > 255 for number in leading) or last >= 256 ** (5 - len(numbers)):
        return None
    value = last + sum(number << (8 * (3 - place)) for place, number in enumerate(leading))
    return str(IPv4Address(value))


def _canonical_path(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")[1:] or [""]
    for place, segment in enumerate(segments):
        plain = segment.lower().replace("%2e", ".")
        last = place == len(segments) - 1
        if plain == "..":
            kept = kept[:-1]
        elif plain != ".":
            kept.append(_reescape(segment, _PATH_SAFE))
            continue
        if last:
            kept.append("")
    return "/" + "/".join(kept)


def _canonical_query(query: str, drop: Sequence[str], encoding: str) -> str:
    dropped = _any_of(tuple(drop))
    return "&".join(
        _reescape(pair, _QUERY_SAFE, encoding)
        for pair in query.split("&")
        if pair and not dropped(pair.partition("=")[0].lower())
    )


@lru_cache(maxsize=64)
def _any_of(patterns: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    """Whether a text matches one of the globs."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)").match


def _reescape(text: str, safe: str, encoding: str = "utf-8") -> str:
    """Escapes of unreserved characters are undone, the others kept; what needs one gets it."""
    out = []
    at = 0
    for match in _ESCAPE.finditer(text):
        out.append(_escape(text[at : match.start()], safe, encoding))
        octet = unquote_to_bytes(match.group())
        plain = octet.isalnum() or octet.decode("latin-1") in _UNRESERVED
        out.append(octet.decode("ascii") if plain else match.group().upper())
        at = match.end()
    out.append(_escape(text[at:], safe, encoding))
    return "".join(out)


def _escape(text: str, safe: str, encoding: str) -> str:
    """Percent-encode; a character that the encoding lacks becomes an escaped `&#NNN;`."""
    try:
        return quote_from_bytes(text.encode(encoding), safe=safe + "%")
    except UnicodeEncodeError:
        if len(text) == 1:
            return f"%26%23{ord(text)}%3B"
        return "".join(_escape(character, safe, encoding) for character in text)
