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
from enum import StrEnum
from typing import NamedTuple

from so8t_core.cleanse.check_digits import is_card_number, is_corporate_number, is_my_number
from so8t_core.cleanse.pii_patterns import (
    ADDRESS,
    BANK_ACCOUNTS,
    BIRTHDAY,
    CARD,
    CORPORATE_LABEL,
    CREDENTIAL_URL,
    EMAIL,
    IP_ADDRESSES,
    LICENCE_LABEL,
    MY_NUMBER_LABEL,
    NAME,
    OTHER_NUMBER_LABEL,
    PASSPORT,
    PHONES,
    POSTAL_CODES,
    PRIVATE_KEY,
    PUBLIC_PHONES,
    SECRETS,
    SECTION_NUMBER,
    SPACED_NAME,
    THIRTEEN,
    TWELVE,
    TWELVE_APART,
    VERSION_LABEL,
)

FIELD_END = "\x1f"
"""Stands between two fields that are searched together; no value contains it."""


class Kind(StrEnum):
    """Types of personal data; of two that overlap the earlier one wins."""

    PRIVATE_KEY = "private_key"
    CREDENTIAL_URL = "credential_url"
    SECRET = "secret"  # noqa: S105  the name of a type
    EMAIL = "email"
    CARD = "card"
    DRIVING_LICENCE = "driving_licence"
    BANK_ACCOUNT = "bank_account"
    MY_NUMBER = "my_number"
    CORPORATE_NUMBER = "corporate_number"
    PASSPORT = "passport"
    PHONE = "phone"
    IP_ADDRESS = "ip_address"
    ADDRESS = "address"
    POSTAL_CODE = "postal_code"
    BIRTHDAY = "birthday"
    NAME = "name"


class Span(NamedTuple):
    """A half-open place in the text."""

    kind: Kind
    start: int
    end: int


_REACHES = frozenset(
    {Kind.EMAIL, Kind.PHONE, Kind.ADDRESS, Kind.POSTAL_CODE, Kind.BANK_ACCOUNT, Kind.BIRTHDAY}
)
_PRIVATE_NETWORKS = tuple(
    map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"))
)  # RFC 1918 and 3927; is_private would also cover the addresses of documentation
_NAME_REACH = 150  # characters between a name and the data that makes it one


def _digits(value: str) -> str:
    return "".join(filter(str.isdigit, value))


def _labelled(view: str, start: int, label: re.Pattern[str], reach: int = 30) -> bool:
    return label.search(view, max(0, start - reach), start) is not None


def _values(kind: Kind, pattern: re.Pattern[str], view: str) -> Iterator[Span]:
    for found in pattern.finditer(view):
        group = "value" if "value" in pattern.groupindex else 0
        yield Span(kind, found.start(group), found.end(group))


def find_private_keys(view: str) -> Iterator[Span]:
    """PEM blocks of private keys, to their end or the text's."""
    yield from _values(Kind.PRIVATE_KEY, PRIVATE_KEY, view)


def find_credential_urls(view: str) -> Iterator[Span]:
    """URLs with a user name and a password."""
    yield from _values(Kind.CREDENTIAL_URL, CREDENTIAL_URL, view)


def find_secrets(view: str) -> Iterator[Span]:
    """API keys and tokens by their makers' prefixes; passwords and keys after their label."""
    for pattern in SECRETS:
        yield from _values(Kind.SECRET, pattern, view)


def find_emails(view: str) -> Iterator[Span]:
    """E-mail addresses, also with the at sign and the dots spelled out."""
    yield from _values(Kind.EMAIL, EMAIL, view)


def find_cards(view: str) -> Iterator[Span]:
    """Payment cards: issuer's prefix, length and Luhn check."""
    for span in _values(Kind.CARD, CARD, view):
        if is_card_number(_digits(view[span.start : span.end])):
            yield span


def find_twelve_digits(view: str) -> Iterator[Span]:
    """Driving licences and My Numbers after their label; other My Numbers by their check digit."""
    for span in _values(Kind.MY_NUMBER, TWELVE_APART, view):
        if _labelled(view, span.start, MY_NUMBER_LABEL):
            yield span
        elif _labelled(view, span.start, LICENCE_LABEL):
            yield span._replace(kind=Kind.DRIVING_LICENCE)
    for span in _values(Kind.MY_NUMBER, TWELVE, view):
        proven = is_my_number(_digits(view[span.start : span.end]))
        if proven and not _labelled(view, span.start, OTHER_NUMBER_LABEL, 20):
            yield span


def find_corporate_numbers(view: str) -> Iterator[Span]:
    """Corporate numbers with a right check digit, after their label or the letter T."""
    for found in THIRTEEN.finditer(view):
        known = found[0].startswith("T") or _labelled(view, found.start(), CORPORATE_LABEL)
        if known and is_corporate_number(_digits(found["value"])):
            yield Span(Kind.CORPORATE_NUMBER, found.start("value"), found.end("value"))


def find_passports(view: str) -> Iterator[Span]:
    """Passport numbers after their label."""
    yield from _values(Kind.PASSPORT, PASSPORT, view)


def find_bank_accounts(view: str) -> Iterator[Span]:
    """Account numbers after the kind of account; symbol and number of the postal bank."""
    for pattern in BANK_ACCOUNTS:
        yield from _values(Kind.BANK_ACCOUNT, pattern, view)


def find_phones(view: str) -> Iterator[Span]:
    """Japanese telephone numbers but free-phone and other public service numbers."""
    for pattern in PHONES:
        for span in _values(Kind.PHONE, pattern, view):
            digits = _digits(view[span.start : span.end])
            if len(digits) >= 10 and not digits.startswith(PUBLIC_PHONES):
                yield span


def find_ip_addresses(view: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses that may be somebody's; no version or section numbers."""
    for pattern in IP_ADDRESSES:
        for span in _values(Kind.IP_ADDRESS, pattern, view):
            numbered = _labelled(view, span.start, VERSION_LABEL, 12) or SECTION_NUMBER.match(
                view, span.start
            )
            if not numbered and _may_be_personal(view[span.start : span.end]):
                yield span


def _may_be_personal(value: str) -> bool:
    """An address but those of private networks, loopback, multicast, netmasks and C++ scopes."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    if address.version == 6:
        return not address.is_link_local and sum(map(str.isdigit, value)) >= 2
    return not value.startswith(("255.", "0.")) and not any(
        address in network for network in _PRIVATE_NETWORKS
    )


def find_addresses(view: str) -> Iterator[Span]:
    """Postal addresses down to the lot, with a building where one follows."""
    yield from _values(Kind.ADDRESS, ADDRESS, view)


def find_postal_codes(view: str) -> Iterator[Span]:
    """Postal codes after their sign or label, or right before a prefecture."""
    for pattern in POSTAL_CODES:
        yield from _values(Kind.POSTAL_CODE, pattern, view)


def find_birthdays(view: str) -> Iterator[Span]:
    """Dates after a label that says that somebody was born then."""
    yield from _values(Kind.BIRTHDAY, BIRTHDAY, view)


def find_names(view: str) -> Iterator[Span]:
    """Names after a label of a form."""
    yield from _values(Kind.NAME, NAME, view)


DETECTORS: tuple[Callable[[str], Iterator[Span]], ...] = (
    find_private_keys,
    find_credential_urls,
    find_secrets,
    find_emails,
    find_cards,
    find_twelve_digits,
    find_corporate_numbers,
    find_passports,
    find_bank_accounts,
    find_phones,
    find_ip_addresses,
    find_addresses,
    find_postal_codes,
    find_birthdays,
    find_names,
)


def find_names_near(view: str, spans: Sequence[Span]) -> Iterator[Span]:
    """Family and given name with a blank between them, close to how one reaches the person."""
    reaches = [span for span in spans if span.kind in _REACHES]
    for name in _values(Kind.NAME, SPACED_NAME, view):
        if any(
            name.start - _NAME_REACH <= span.end and span.start <= name.end + _NAME_REACH
            for span in reaches
        ):
            yield name


def find_all(view: str) -> list[Span]:
    """What every detector finds; places may overlap."""
    spans = [span for detector in DETECTORS for span in detector(view)]
    return [*spans, *find_names_near(view, spans)]
