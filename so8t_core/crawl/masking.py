"""Personal data in titles and URLs, masked before either reaches the journal or an index."""

from __future__ import annotations

import re
import unicodedata

_TITLE_CHARS = 300
_READ_CHARS = 4 * _TITLE_CHARS  # masking takes longer the longer its text is
_E_MAIL = re.compile(r"[\w.+-]+(?:@|＠|%40)[\w-]+(?:\.[\w-]+)+", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\d.-])(?:\+81[ -]?|0)\d{1,4}[ -]?\(?\d{1,4}\)?[ -]\d{3,4}(?![\d-])")
_BARE_MOBILE = re.compile(r"(?<!\d)0[5789]0\d{8}(?!\d)")
_LONG_NUMBER = re.compile(r"(?<![\d.])\d{4}[ -]\d{4}[ -]\d{4}(?:[ -]\d{4})?(?![\d-])")
_PERSONAL_PARAMETER = re.compile(
    r"(?i)(?<=[?&])((?:user_?|full_?|last_?|first_?|family_?|given_?)?name|e?-?mail(?:_?addr(?:ess)?)?"
    r"|tel(?:ephone)?|phone|mobile|fax|addr(?:ess)?|birth(?:day|date)?|dob|passw(?:or)?d|pwd|token"
    r"|user(?:_?id)?|login|account|member_?id)=[^&#]+"
)


def mask(text: str) -> str:
    """A text without e-mail addresses, telephone numbers and numbers of cards or persons."""
    text = _E_MAIL.sub("[e-mail]", text)
    text = _LONG_NUMBER.sub("[number]", text)
    text = _PHONE.sub("[phone]", text)
    return _BARE_MOBILE.sub("[phone]", text)


def mask_url(url: str) -> str:
    """A URL without e-mail addresses and without what its query says of a person."""
    if "@" in url or "%40" in url:
        url = _E_MAIL.sub("[e-mail]", url)
    page, question, query = url.partition("?")
    if not question:
        return url
    return page + _PERSONAL_PARAMETER.sub(r"\1=[masked]", question + mask(query))


def clean_title(text: str) -> str:
    """One line without control and format characters, personal data masked."""
    text = text[:_READ_CHARS]
    plain = text if text.isprintable() else _visible(text)
    return mask(" ".join(plain.split()))[:_TITLE_CHARS]


def _visible(text: str) -> str:
    return "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
