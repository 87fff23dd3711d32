"""Personal data in titles and URLs, masked before either reaches the journal or an index."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote

_TITLE_CHARS = 300
_READ_CHARS = 4 * _TITLE_CHARS  # masking takes longer the longer its text is
_MOST_ESCAPES = 3  # a text that was escaped, then escaped again
_URL_SAFE = "/!$&'()*+,;=:@[]~?|"

_NARROW = str.maketrans(
    "０１２３４５６７８９＠．（）＋＿　‐‑‒–—―−ー－ｰ",
    "0123456789@.()+_ ----------",
)
"""Characters that people write numbers and addresses with, each to the one that it stands for."""
_E_MAIL = re.compile(
    r"[\w.+-]+(?:@|%40| ?[\[(](?:at|アット(?:マ-ク)?)[\])] ?)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE
)
_AT_SIGNS = ("@", "%40", "at]", "at)", "アット")
_PHONE = re.compile(r"(?<![\d.-])(?:\+81[ -]?|0)\d{1,4}[ -]?\(?\d{1,4}\)?[ -]\d{3,4}(?![\d-])")
_BARE_MOBILE = re.compile(r"(?<!\d)0[5789]0\d{8}(?!\d)")
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]\d{4})?(?![\d-])")
_BARE_CARD = re.compile(r"(?<!\d)[3-6]\d{15}(?!\d)")
_GAP = r"[-_. ()]{1,3}"
_URL_PHONE = re.compile(
    r"(?<!\d)(?!0120|0570|0800|0990)(?:"
    rf"0[5789]0(?:{_GAP}|/)?\d{{4}}(?:{_GAP}|/)?\d{{4}}"  # mobile and IP telephones
    rf"|0[346]{_GAP}\d{{4}}{_GAP}\d{{4}}|0[1-9]\d{_GAP}\d{{3}}{_GAP}\d{{4}}"
    rf"|0[1-9]\d{{2}}{_GAP}\d{{2}}{_GAP}\d{{4}}|0[1-9]\d{{3}}{_GAP}\d{_GAP}\d{{4}}"
    r"|0[1-9]\d{8}"  # written without gaps
    rf"|(?:\+|00)\d{{1,3}}(?:(?:{_GAP})?\d){{7,12}}"  # from abroad
    rf"|81(?:{_GAP})?[5789]0(?:{_GAP})?\d{{4}}(?:{_GAP})?\d{{4}}"
    r")(?!\d)"
)
"""Stricter than `_PHONE`, by the lengths that area codes have: numbers in paths are mostly ids."""
_URL_NUMBER = re.compile(r"(?<!\d)\d{4}([-_. ])\d{4}\1\d{4}(?:\1\d{4})?(?!\d)")
_MARKED = re.compile(r"[@%?;=(\[]")
_DIGIT = re.compile(r"[0-9]")
_LEAST_DIGITS = 9
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\x00-\x7f]+")
_PERSONAL = frozenset(
    (
        *("mail", "email", "tel", "telephone", "phone", "mobile", "fax", "addr", "address"),
        *("birth", "birthday", "birthdate", "dob", "passwd", "password", "pwd", "token", "secret"),
        *("user", "userid", "username", "login", "account", "member", "memberid", "fullname"),
        *("lastname", "firstname", "familyname", "givenname", "surname", "nickname", "realname"),
        *("氏名", "名前", "姓", "名", "電話", "電話番号", "携帯", "メール", "住所", "生年月日"),
        *("メールアドレス", "パスワード"),
    )
)
"""Words in the name of a query parameter whose value says something of a person."""
_OF_A_PERSON = frozenset(
    (
        "full",
        "last",
        "first",
        "family",
        "given",
        "nick",
        "real",
        "your",
        "my",
        "contact",
        "customer",
    )
)


def mask(text: str) -> str:
    """A text without e-mail addresses, telephone numbers and numbers of cards or persons."""
    return _without(text, _E_MAIL, _LONG_NUMBER, _BARE_CARD, _PHONE, _BARE_MOBILE, _URL_PHONE)


def mask_url(url: str) -> str:
    """A canonical URL without e-mail addresses, telephone numbers, numbers of cards or persons.

    In whatever way they are escaped; and without what its parameters say of a person. What else it
    says is left as it is, to the letter.
    """
    rest = url.partition("://")[2].partition("/")[2]
    if not _MARKED.search(rest) and len(_DIGIT.findall(rest)) < _LEAST_DIGITS:
        return url
    path, question, query = rest.partition("?")
    start = url[: len(url) - len(rest)]
    first, *matrix = path.split(";")
    path = ";".join((_masked(first), *map(_pair, matrix)))
    return start + path + question + "&".join(map(_pair, query.split("&")))


def clean_title(text: str) -> str:
    """One line without control and format characters, personal data masked."""
    text = text[:_READ_CHARS]
    plain = text if text.isprintable() else _visible(text)
    return mask(" ".join(plain.split()))[:_TITLE_CHARS]


def _pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    if equals and value and _is_personal(_plain(name)):
        return f"{_masked(name)}=[masked]"
    return _masked(name) + equals + _masked(value, blanks="+")


def _is_personal(name: str) -> bool:
    """Whether a parameter's name is that of something about a person."""
    words = [word.lower() for word in _NAME_PART.findall(name)]
    if words and words[-1] == "name":
        return len(words) == 1 or words[-2] in _OF_A_PERSON or words[-2] in _PERSONAL
    return not _PERSONAL.isdisjoint(words)


def _masked(part: str, blanks: str = "") -> str:
    """A part of a URL, as it is written where it holds nothing personal."""
    plain = _plain(part.replace(blanks, " ") if blanks else part)
    hidden = _without(plain, _E_MAIL, _URL_PHONE, _URL_NUMBER)
    return part if hidden == plain else quote(hidden, safe=_URL_SAFE)


def _plain(text: str) -> str:
    for _ in range(_MOST_ESCAPES):
        if "%" not in text:
            break
        text = unquote(text)
    return text


def _without(text: str, *patterns: re.Pattern[str]) -> str:
    """The text with what the patterns find in its narrow spelling, which is as long, masked."""
    for pattern in patterns:
        narrow = text.translate(_NARROW)
        if pattern is _E_MAIL and not any(sign in narrow for sign in _AT_SIGNS):
            continue
        at, kept = 0, []
        for found in pattern.finditer(narrow):
            kept += [text[at : found.start()], _WORDS[pattern]]
            at = found.end()
        text = "".join((*kept, text[at:])) if kept else text
    return text


_WORDS = {
    _E_MAIL: "[e-mail]",
    _LONG_NUMBER: "[number]",
    _URL_NUMBER: "[number]",
    _BARE_CARD: "[number]",
    _PHONE: "[phone]",
    _BARE_MOBILE: "[phone]",
    _URL_PHONE: "[phone]",
}


def _visible(text: str) -> str:
    return "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
