"""Detectors of personal data: one small pure function for each type.

Each takes the folded view of a text and yields the places of the values, not of their labels.
Numbers that mean something only beside a label (accounts, licences, passports) need it close by;
numbers with a check digit must satisfy it. Free-phone and short public numbers are no personal
data and stay.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from so8t_core.cleanse.check_digits import is_card_number, is_corporate_number, is_my_number
from so8t_core.cleanse.pii_names import (
    NAME_BY_ROLE,
    NAME_KANA,
    NAME_LABELLED,
    NAMES_NEAR,
    may_be_name,
)
from so8t_core.cleanse.pii_network import (
    CREDENTIAL_URL,
    EMAIL,
    EMAIL_APART,
    EMAIL_AT_WORD,
    EMAIL_DOT_SPELLED,
    EMAIL_HINT,
    EMAIL_NATIVE,
    EMAIL_OTHER_SIGN,
    EMAIL_QUOTED,
    HOST_AFTER,
    HOST_BEFORE,
    IP_IN_HOST,
    IPV4,
    IPV4_APART,
    IPV6,
    PRIVATE_KEY,
    PROGRAM_BEFORE,
    SECRETS,
    SECTION_NUMBER,
    VERSION_AFTER,
    VERSION_LABEL,
)
from so8t_core.cleanse.pii_numbers import (
    BANK_ACCOUNTS,
    BANK_AFTER,
    BIRTHDAYS,
    CARD,
    CARD_IN_ROW,
    CARD_LABEL,
    CORPORATE_LABEL,
    FREE_LABEL,
    LICENCE_LABEL,
    MOMENT,
    MY_NUMBER_LABEL,
    OFFICIAL_NUMBERS,
    OTHER_NUMBER_LABEL,
    PASSPORT,
    PASSPORT_LABEL,
    PHONES,
    PUBLIC_PHONE,
    THIRTEEN,
    TWELVE,
    TWELVE_APART,
)
from so8t_core.cleanse.pii_places import ADDRESS_LATIN, ADDRESSES, POSTAL_CODES, SCORE
from so8t_core.contract.labels import PersonalData as Kind

FIELD_END = "\x1f"
"""Stands between two fields that are searched together; no value contains it."""


class Span(NamedTuple):
    """A half-open place in the text."""

    kind: Kind
    start: int
    end: int


_REACHES = frozenset(
    {
        Kind.EMAIL,
        Kind.PHONE,
        Kind.ADDRESS,
        Kind.POSTAL_CODE,
        Kind.BANK_ACCOUNT,
        Kind.BIRTHDAY,
        Kind.MY_NUMBER,
        Kind.DRIVING_LICENCE,
        Kind.PASSPORT,
        Kind.OFFICIAL_NUMBER,
        Kind.CARD,
    }
)
_PRIVATE_NETWORKS = tuple(
    map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"))
)  # RFC 1918 and 3927; is_private would also cover the addresses of documentation
_UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")  # RFC 4193
_NAME_REACH = 150  # characters between a name and the data that makes it one
_LABEL_REACH = 40
_ANY_DIGIT = re.compile("[0-9]")
_IP_DRESS = re.compile(r"[\[\]() ]")
_TWO_LETTERS = re.compile("[A-Za-z]{2}")
_LEAST_SURE_PART = 100  # four smaller numbers alone may as well be a version or a section
_MOST_VERSION_PART = 40  # a larger first number beside a program's name is an address


def _digits(value: str) -> str:
    return "".join(filter(str.isdigit, value))


def _labelled(view: str, start: int, label: re.Pattern[str], reach: int = _LABEL_REACH) -> bool:
    return label.search(view, max(0, start - reach), start) is not None


def _beside(view: str, span: Span, label: re.Pattern[str]) -> bool:
    """Whether the label stands before the value, or in brackets or a few characters behind it."""
    before = _labelled(view, span.start, label)
    return before or label.search(view, span.end, span.end + 12) is not None


def _values(kind: Kind, pattern: re.Pattern[str], view: str) -> Iterator[Span]:
    group = "value" if "value" in pattern.groupindex else 0
    for found in pattern.finditer(view):
        yield Span(kind, found.start(group), found.end(group))


def find_private_keys(view: str) -> Iterator[Span]:
    """PEM blocks of private keys, to their end or the text's."""
    if "PRIVATE KEY" in view:
        yield from _values(Kind.PRIVATE_KEY, PRIVATE_KEY, view)


def find_credential_urls(view: str) -> Iterator[Span]:
    """URLs with a user name and a password."""
    if "://" in view and "@" in view:
        yield from _values(Kind.CREDENTIAL_URL, CREDENTIAL_URL, view)


def find_secrets(view: str) -> Iterator[Span]:
    """API keys and tokens by their makers' prefixes; passwords and keys after their label."""
    for pattern in SECRETS:
        yield from _values(Kind.SECRET, pattern, view)


def find_emails(view: str) -> Iterator[Span]:
    """E-mail addresses, also with the at sign and the dots spelled out, or letter by letter."""
    if not EMAIL_HINT.search(view):
        return
    for pattern in (
        EMAIL,
        EMAIL_DOT_SPELLED,
        EMAIL_AT_WORD,
        EMAIL_NATIVE,
        EMAIL_OTHER_SIGN,
        EMAIL_QUOTED,
        EMAIL_APART,
    ):
        yield from _values(Kind.EMAIL, pattern, view)


def find_cards(view: str) -> Iterator[Span]:
    """Payment cards: issuer's prefix, length and Luhn check."""
    for span in _values(Kind.CARD, CARD, view):
        other = _labelled(view, span.start, OTHER_NUMBER_LABEL, 10)
        if not other and is_card_number(_digits(view[span.start : span.end])):
            yield span
    for span in _values(Kind.CARD, CARD_IN_ROW, view):
        if _beside(view, span, CARD_LABEL) and is_card_number(_digits(view[span.start : span.end])):
            yield span


def find_twelve_digits(view: str) -> Iterator[Span]:
    """Driving licences and My Numbers beside their label; other My Numbers by their check digit."""
    for span in _values(Kind.MY_NUMBER, TWELVE_APART, view):
        my_number = _nearest(view, span, MY_NUMBER_LABEL)
        licence = _nearest(view, span, LICENCE_LABEL)
        if max(my_number, licence) >= 0:
            kind = Kind.MY_NUMBER if my_number > licence else Kind.DRIVING_LICENCE
            yield span._replace(kind=kind)
    for span in _values(Kind.MY_NUMBER, TWELVE, view):
        digits = _digits(view[span.start : span.end])
        solid = span.end - span.start == len(digits)
        if (
            is_my_number(digits)
            and not (solid and MOMENT.fullmatch(digits[:10]))
            and not _labelled(view, span.start, OTHER_NUMBER_LABEL, 20)
        ):
            yield span


def _nearest(view: str, span: Span, label: re.Pattern[str]) -> int:
    """Where the last such label before the value ends (or the value, with one behind); else -1."""
    first = max(0, span.start - _LABEL_REACH)
    ends = [found.end() for found in label.finditer(view, first, span.start)]
    if ends:
        return ends[-1]
    return 0 if label.search(view, span.end, span.end + 12) else -1


def find_corporate_numbers(view: str) -> Iterator[Span]:
    """Corporate numbers with a right check digit, beside their label or after the letter T."""
    for found in THIRTEEN.finditer(view):
        span = Span(Kind.CORPORATE_NUMBER, found.start("value"), found.end("value"))
        known = found[0].startswith("T") or _beside(view, span, CORPORATE_LABEL)
        other = _labelled(view, span.start, OTHER_NUMBER_LABEL, 12)
        if known and not other and is_corporate_number(_digits(found["value"])):
            yield span


def find_passports(view: str) -> Iterator[Span]:
    """Passport numbers beside their label."""
    if PASSPORT_LABEL.search(view):
        for span in _values(Kind.PASSPORT, PASSPORT, view):
            if _beside(view, span, PASSPORT_LABEL):
                yield span


def find_official_numbers(view: str) -> Iterator[Span]:
    """Numbers of pensions, insurances, residents and residence cards beside their label."""
    for pattern in OFFICIAL_NUMBERS:
        yield from _values(Kind.OFFICIAL_NUMBER, pattern, view)


def find_bank_accounts(view: str) -> Iterator[Span]:
    """Account numbers after the kind of account; symbol and number of the postal bank."""
    for pattern in (*BANK_ACCOUNTS, BANK_AFTER):
        yield from _values(Kind.BANK_ACCOUNT, pattern, view)


def find_phones(view: str) -> Iterator[Span]:
    """Japanese telephone numbers but free-phone and other public service numbers."""
    if "0" not in view and "81" not in view:
        return
    for pattern in PHONES:
        for span in _values(Kind.PHONE, pattern, view):
            public = PUBLIC_PHONE.match(view, span.start) or (
                _labelled(view, span.start, FREE_LABEL, 12)
            )
            long = len(_digits(view[span.start : span.end])) >= 10
            if long and not public and not _labelled(view, span.start, OTHER_NUMBER_LABEL, 8):
                yield span


def find_ip_addresses(view: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses that may be somebody's; no version or section numbers."""
    for pattern in (IPV4, IPV4_APART, IPV6, IP_IN_HOST):
        for span in _values(Kind.IP_ADDRESS, pattern, view):
            value = _IP_DRESS.sub("", view[span.start : span.end].replace("[dot]", "."))
            value = value.replace("。", ".").replace("-", ".")
            if not _is_version(view, span, value) and _may_be_personal(value):
                yield span


def _is_version(view: str, span: Span, value: str) -> bool:
    """Whether four numbers with dots are a version or a section."""
    if ":" in value:
        return False
    if _labelled(view, span.start, VERSION_LABEL, 12) or VERSION_AFTER.match(view, span.end):
        return True
    if SECTION_NUMBER.match(view, span.start):
        return True
    parts = [int(part) for part in value.split(".")]
    if parts[0] >= _MOST_VERSION_PART:
        return False
    if _labelled(view, span.start, PROGRAM_BEFORE):
        return True
    told = _labelled(view, span.start, HOST_BEFORE, 24) or HOST_AFTER.match(view, span.end)
    return max(parts) < _LEAST_SURE_PART and not told


def _may_be_personal(value: str) -> bool:
    """An address but those of private networks, loopback, multicast, netmasks and C++ scopes."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    if address.version == 6:
        return (
            not address.is_link_local
            and address not in _UNIQUE_LOCAL
            and sum(map(str.isdigit, value)) >= 2
        )
    return not value.startswith(("255.", "0.")) and not any(
        address in network for network in _PRIVATE_NETWORKS
    )


def find_addresses(view: str) -> Iterator[Span]:
    """Postal addresses down to the lot, with a building where one follows."""
    for pattern in ADDRESSES:
        for span in _values(Kind.ADDRESS, pattern, view):
            if not SCORE.search(view, span.start, span.end):
                yield span
    if "-" in view and _TWO_LETTERS.search(view):
        yield from _values(Kind.ADDRESS, ADDRESS_LATIN, view)


def find_postal_codes(view: str) -> Iterator[Span]:
    """Postal codes after their sign or label, or right before a prefecture."""
    for pattern in POSTAL_CODES:
        yield from _values(Kind.POSTAL_CODE, pattern, view)


def find_birthdays(view: str) -> Iterator[Span]:
    """Dates beside words that say that somebody was born then."""
    for pattern in BIRTHDAYS:
        yield from _values(Kind.BIRTHDAY, pattern, view)


def find_names(view: str) -> Iterator[Span]:
    """Names after a label of a form, or after a role where they begin like a surname."""
    for pattern in (NAME_LABELLED, NAME_KANA, NAME_BY_ROLE):
        for span in _values(Kind.NAME, pattern, view):
            if may_be_name(view[span.start : span.end]):
                yield span


WITHOUT_DIGITS: tuple[Callable[[str], Iterator[Span]], ...] = (
    find_private_keys,
    find_credential_urls,
    find_secrets,
    find_emails,
    find_addresses,
    find_birthdays,
    find_names,
)
WITH_DIGITS: tuple[Callable[[str], Iterator[Span]], ...] = (
    find_cards,
    find_twelve_digits,
    find_corporate_numbers,
    find_passports,
    find_official_numbers,
    find_bank_accounts,
    find_phones,
    find_ip_addresses,
    find_postal_codes,
)
"""Detectors whose values hold an ASCII digit in the folded view."""


def find_names_near(view: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Names close to how one reaches the person, or to a number that is the person's."""
    for start, end in _neighbourhoods(view, spans):
        for pattern in NAMES_NEAR:
            for found in pattern.finditer(view, start, end):
                if may_be_name(found["value"]):
                    yield Span(Kind.NAME, found.start("value"), found.end("value"))


def _neighbourhoods(view: str, spans: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """Places within reach of the data, those that overlap as one."""
    reached = sorted(span for span in spans if span.kind in _REACHES)
    last: tuple[int, int] | None = None
    for _, start, end in sorted(reached, key=lambda span: span.start):
        near = max(0, start - _NAME_REACH), min(len(view), end + _NAME_REACH)
        if last is not None and near[0] <= last[1]:
            last = last[0], max(last[1], near[1])
            continue
        if last is not None:
            yield last
        last = near
    if last is not None:
        yield last


def find_all(view: str) -> list[Span]:
    """What every detector finds; places may overlap."""
    detectors = WITHOUT_DIGITS + (WITH_DIGITS if _ANY_DIGIT.search(view) else ())
    spans = [span for detector in detectors for span in detector(view)]
    return [*spans, *find_names_near(view, spans)]
