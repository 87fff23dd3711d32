"""Detectors of personal data: one small pure function for each type.

Each takes the folded view of a text and yields the places of the values, not of their labels.
Numbers that mean something only beside a label (accounts, licences, passports) need it close by;
numbers with a check digit must satisfy it. Free-phone and short public numbers are no personal
data and stay.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from so8t_core.cleanse.check_digits import is_card_number, is_corporate_number, is_my_number

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


_NOT_WITHIN_NUMBER = r"(?<![0-9A-Za-z_.])(?<![0-9A-Za-z]-)"
_NO_NUMBER_AFTER = r"(?![0-9A-Za-z_])(?!-[0-9])(?!\.[0-9])"
_GAP = r"[ \t]?[-・]?[ \t\n]?"
_LABEL_GAP = r"[^0-9\n。]{0,12}[\n\x1f]?[^0-9\n。]{0,6}"

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.S)
_CREDENTIAL_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@:<>\x1f]{1,100}:[^\s/@<>\x1f]{1,200}@[^\s<>、。」）\x1f]+", re.I)
_SECRETS = (
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\bgh[pousr]_[0-9A-Za-z]{20,}\b"),
    re.compile(r"\bgithub_pat_[0-9A-Za-z_]{20,}\b"),
    re.compile(r"\bglpat-[0-9A-Za-z_-]{16,}"),
    re.compile(r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[0-9A-Za-z_-]{16,}"),
    re.compile(r"\bxox[abeoprs]-[0-9A-Za-z-]{10,}"),
    re.compile(r"\bAIza[0-9A-Za-z_-]{30,}"),
    re.compile(r"\bya29\.[0-9A-Za-z_-]{20,}"),
    re.compile(r"\bhf_[0-9A-Za-z]{20,}\b"),
    re.compile(r"\bSG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}"),
    re.compile(r"\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"),
)
_LABELLED_SECRET = re.compile(
    r"(?:api[ _-]?key|apiキー|access[ _-]?token|auth[ _-]?token|secret(?:[ _-]?(?:access[ _-]?)?key)?"
    r"|client[ _-]?secret|bearer|アクセストークン|シークレットキー|秘密鍵|passw(?:or)?d|パスワード|暗証番号)"
    r"[\"']?[ \t]*(?:[:=は]|=>)[ \t]*[\"'「]?"
    r"(?P<value>(?=[!-~]{0,200}[0-9])[^\s\"'」<>,;&\x1f\u0080-\uffff]{4,200})",
    re.I,
)
_SECRET_IN_URL = re.compile(
    r"[?&](?:access_token|token|api_?key|key|secret|password|passwd|sig|signature)=(?P<value>[^&#\s<>\x1f]{6,})",
    re.I,
)
_AT = r"[ \t]?(?:@|[\[({<]at[\])}>]|[ \t]at[ \t]|アットマーク|あっとまーく|アット|あっと|[☆★◎])[ \t]?"
_DOT = r"(?:\.|[ \t]?[\[({<]dot[\])}>][ \t]?|[ \t]dot[ \t]|ドット)"
_EMAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9](?:[A-Za-z0-9._%+-]{{0,63}}?){_AT}"
    rf"[A-Za-z0-9](?:[A-Za-z0-9-]{{0,62}})(?:{_DOT}[A-Za-z0-9-]{{1,63}}){{0,4}}{_DOT}[A-Za-z]{{2,24}}(?![A-Za-z0-9])",
    re.I,
)

_CARD = re.compile(rf"{_NOT_WITHIN_NUMBER}[2-6](?:{_GAP}[0-9]){{13,18}}{_NO_NUMBER_AFTER}")
_TWELVE = re.compile(rf"{_NOT_WITHIN_NUMBER}[0-9](?:{_GAP}[0-9]){{11}}{_NO_NUMBER_AFTER}")
_THIRTEEN = re.compile(r"(?<![0-9A-SU-Za-z_.-])T?[ -]?(?P<value>[0-9](?:[ -]?[0-9]){12})(?![0-9A-Za-z_])")
_MY_NUMBER_LABEL = re.compile(r"マイナンバー|個人番号|my ?number", re.I)
_CORPORATE_LABEL = re.compile(r"法人番号|登録番号|インボイス|適格請求書")
_LICENCE_LABEL = re.compile(r"免許")
_OTHER_NUMBER_LABEL = re.compile(
    r"(?:注文|受付|伝票|追跡|問い?合わせ?|管理|製造|品|型|商品|部品|シリアル|整理|ロット|予約|会員)(?:番号|コード|番|No)|JAN|ISBN|ISSN|S/?N|DOI|serial",
    re.I,
)
_PASSPORT = re.compile(
    rf"(?:旅券|パスポート|passport)[^0-9\n。]{{0,25}}?(?<![A-Za-z])(?P<value>[A-Z]{{2}}{_GAP}[0-9](?:{_GAP}[0-9]){{6}})(?![0-9A-Za-z])",
    re.I,
)
_BANK = (
    re.compile(rf"(?:普通|当座|貯蓄|口座)(?:預金|番号|No\.?)?{_LABEL_GAP}(?<![0-9])(?P<value>[0-9](?:[ -]?[0-9]){{6,7}})(?![0-9-])"),
    re.compile(r"(?:記号)[^0-9\n]{0,6}(?P<value>1[0-9]{4}(?:[- ]?[0-9])?[^0-9\n]{0,8}[0-9]{2,8})(?![0-9-])"),
)

_PHONE = (
    # with its parts told apart: mobile and IP, then fixed lines by the length of the area code
    re.compile(rf"{_NOT_WITHIN_NUMBER}(?P<value>\(?0[5-9]0\)?{_GAP}\(?[0-9]{{4}}\)?{_GAP}[0-9]{{4}}){_NO_NUMBER_AFTER}"),
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>(?:"
        r"\(0[1-9][0-9]{0,3}\)[ -]?[0-9]{1,4}[ \t]?-[ \t\n]?[0-9]{4}"
        r"|0[1-9]{1}[ \t]?[-(][ \t\n]?[0-9]{4}[ \t]?[-)][ \t\n]?[0-9]{4}"
        r"|0[1-9][0-9][ \t]?[-(][ \t\n]?[0-9]{3}[ \t]?[-)][ \t\n]?[0-9]{4}"
        r"|0[1-9][0-9]{2}[ \t]?[-(][ \t\n]?[0-9]{2}[ \t]?[-)][ \t\n]?[0-9]{4}"
        rf"|0[1-9][0-9]{{3}}[ \t]?[-(][ \t\n]?[0-9][ \t]?[-)][ \t\n]?[0-9]{{4}})){_NO_NUMBER_AFTER}"
    ),
    re.compile(rf"(?<![0-9A-Za-z])(?P<value>\+81{_GAP}\(?0?\)?{_GAP}[1-9](?:[- ()]?[0-9]){{8,9}}){_NO_NUMBER_AFTER}"),
    # fixed lines in blanks, dots or without any mark: only after a label
    re.compile(
        rf"(?:電話|TEL|FAX|ファックス|ファクス|連絡先|携帯|phone|℡|☎){_LABEL_GAP}(?P<value>0(?:[ .-]?[0-9]){{9,10}}){_NO_NUMBER_AFTER}",
        re.I,
    ),
)
_PUBLIC_PHONE = ("0120", "0800", "0570", "0990", "0180", "0170")

_POSTAL_CODE = (
    re.compile(r"〒[ \t]?(?P<value>[0-9]{3}[ \t]?-?[ \t]?[0-9]{4})(?![0-9])"),
    re.compile(rf"郵便番号{_LABEL_GAP}(?P<value>[0-9]{{3}}[ \t]?-?[ \t]?[0-9]{{4}})(?![0-9-])"),
)
_PREFECTURE = (
    "(?:北海道|東京都|(?:大阪|京都)府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"
)
_PLACE = "[一-鿿々ヶケノツヴァ-ヺーぁ-ゖ]"
_COUNT = "(?:[0-9]{1,5}|[一二三四五六七八九十百]{1,5})"
_LOT = (
    rf"{_COUNT}(?:[ \t]?(?:丁目|番地の?|番町|番|条|号|-|の)[ \t]?{_COUNT}(?![0-9年月日時分円人個件回歳%]))+(?:[ \t]?(?:号室?|番地?))?"
    rf"|{_COUNT}[ \t]?(?:番地|丁目)"
)
_BUILDING = (
    r"(?:[ \t\n]?(?:[^\s0-9、。,()（）「」〔〕<>\x1f]{1,15}(?:ビルディング|ビル|マンション|アパート|ハイツ|コーポ|荘|レジデンス|ハウス|タワー|メゾン)"
    r"|(?:メゾン|ハイツ|コーポ|レジデンス|グラン|サン|パーク)[^\s0-9、。,()（）「」〔〕<>\x1f]{1,12})"
    r"(?:[ \t]?(?:[0-9]{1,2}階|[0-9]{1,2}F|[0-9]{1,4}号室?|[0-9]{2,4}))?|[ \t]?[0-9]{1,4}号室)?"
)
_ADDRESS = re.compile(
    rf"(?P<value>(?:{_PREFECTURE}[ \t]?{_PLACE}{{1,8}}?[市区町村郡]|(?<!{_PLACE}){_PLACE}{{1,6}}?[市区](?!場|立|民|長)|{_PREFECTURE})"
    rf"[ \t]?{_PLACE}{{0,16}}?[ \t]?(?:{_LOT}){_BUILDING})"
)
_LABELLED_NAME = re.compile(
    r"(?:氏名|お名前|本名|申請者|世帯主|患者名|契約者|口座名義人?|名義人?|差出人|受取人)(?:[ \t]*(?:[:は|]|\n|\x1f)[ \t]*|[ \t]+)"
    r"(?P<value>(?:[一-鿿々]{1,4}[ \t]?[一-鿿々ぁ-ゖァ-ヺー]{1,5}|[ァ-ヺー]{2,6}[ \t][ァ-ヺー]{2,6}))"
    r"(?=[ \t]*(?:\(|（|さん|様|氏|、|。|\n|\x1f|$|\||[0-9]|電話|住所|生年))"
)
_BIRTHDAY = re.compile(
    r"(?:生年月日|誕生日)[ \t]*(?:[:は|]|\n|\x1f)?[ \t]*"
    r"(?P<value>(?:(?:昭和|平成|令和|大正|明治|[SHRTM])[ \t]?(?:元|[0-9]{1,2})|(?:19|20)[0-9]{2})"
    r"[ \t]?[年./-][ \t]?[0-9]{1,2}[ \t]?[月./-][ \t]?[0-9]{1,2}日?)"
)
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.-])(?P<value>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?![0-9A-Za-z_]|\.[0-9]|-[0-9])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z_:.])(?P<value>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?![0-9A-Za-z_:])")
_VERSION_LABEL = re.compile(r"(?:version|ver\.?|バージョン|版|release|リリース|\bv|[A-Za-z]-|_)[ \t:]*$", re.I)


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
    yield from _values(Kind.PRIVATE_KEY, _PRIVATE_KEY, view)


def find_credential_urls(view: str) -> Iterator[Span]:
    """URLs with a user name and a password."""
    yield from _values(Kind.CREDENTIAL_URL, _CREDENTIAL_URL, view)


def find_secrets(view: str) -> Iterator[Span]:
    """API keys and tokens by their makers' prefixes; passwords and keys after their label."""
    for pattern in (*_SECRETS, _LABELLED_SECRET, _SECRET_IN_URL):
        yield from _values(Kind.SECRET, pattern, view)


def find_emails(view: str) -> Iterator[Span]:
    """E-mail addresses, also with the at sign and the dots spelled out."""
    yield from _values(Kind.EMAIL, _EMAIL, view)


def find_cards(view: str) -> Iterator[Span]:
    """Payment cards: issuer's prefix, length and Luhn check."""
    for span in _values(Kind.CARD, _CARD, view):
        if is_card_number(_digits(view[span.start : span.end])):
            yield span


def find_twelve_digits(view: str) -> Iterator[Span]:
    """Driving licences after their label; My Numbers by label or check digit."""
    for span in _values(Kind.MY_NUMBER, _TWELVE, view):
        digits = _digits(view[span.start : span.end])
        if _labelled(view, span.start, _MY_NUMBER_LABEL):
            yield span
        elif _labelled(view, span.start, _LICENCE_LABEL):
            yield span._replace(kind=Kind.DRIVING_LICENCE)
        elif is_my_number(digits) and not _labelled(view, span.start, _OTHER_NUMBER_LABEL, 20):
            yield span


def find_corporate_numbers(view: str) -> Iterator[Span]:
    """Corporate numbers with a right check digit, after their label or the letter T."""
    for found in _THIRTEEN.finditer(view):
        known = found[0].startswith("T") or _labelled(view, found.start(), _CORPORATE_LABEL)
        if known and is_corporate_number(_digits(found["value"])):
            yield Span(Kind.CORPORATE_NUMBER, found.start("value"), found.end("value"))


def find_passports(view: str) -> Iterator[Span]:
    """Passport numbers after their label."""
    yield from _values(Kind.PASSPORT, _PASSPORT, view)


def find_bank_accounts(view: str) -> Iterator[Span]:
    """Account numbers after the kind of account; symbol and number of the postal bank."""
    for pattern in _BANK:
        yield from _values(Kind.BANK_ACCOUNT, pattern, view)


def find_phones(view: str) -> Iterator[Span]:
    """Japanese telephone numbers but free-phone and other public service numbers."""
    for pattern in _PHONE:
        for span in _values(Kind.PHONE, pattern, view):
            digits = _digits(view[span.start : span.end])
            if len(digits) >= 10 and not digits.startswith(_PUBLIC_PHONE):
                yield span


def find_ip_addresses(view: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses but loopback, unspecified and netmasks; no version numbers."""
    for pattern in (_IPV4, _IPV6):
        for span in _values(Kind.IP_ADDRESS, pattern, view):
            if _labelled(view, span.start, _VERSION_LABEL, 12):
                continue
            try:
                address = ipaddress.ip_address(view[span.start : span.end])
            except ValueError:
                continue
            value = str(address)
            plain = address.is_loopback or address.is_unspecified or value.startswith(("255.", "0."))
            short = address.version == 6 and sum(map(str.isdigit, value)) < 2
            if not plain and not short:
                yield span


def find_addresses(view: str) -> Iterator[Span]:
    """Postal addresses down to the lot, with a building where one follows."""
    yield from _values(Kind.ADDRESS, _ADDRESS, view)


def find_postal_codes(view: str) -> Iterator[Span]:
    """Postal codes after their sign or label, or right before a prefecture."""
    for pattern in (*_POSTAL_CODE, _BEFORE_PREFECTURE):
        yield from _values(Kind.POSTAL_CODE, pattern, view)


_BEFORE_PREFECTURE = re.compile(rf"(?<![0-9-])(?P<value>[0-9]{{3}}-[0-9]{{4}})(?=[ \t\n]?{_PREFECTURE})")


def find_birthdays(view: str) -> Iterator[Span]:
    """Dates after a label that says that somebody was born then."""
    yield from _values(Kind.BIRTHDAY, _BIRTHDAY, view)


def find_names(view: str) -> Iterator[Span]:
    """Names after a label of a form."""
    yield from _values(Kind.NAME, _LABELLED_NAME, view)


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


def find_all(view: str) -> list[Span]:
    """What every detector finds; places may overlap."""
    return [span for detector in DETECTORS for span in detector(view)]
