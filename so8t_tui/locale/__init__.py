"""The interface's language: English is the key, other languages are gettext catalogues of it.

A catalogue is `LANGUAGE/LC_MESSAGES/so8t.po`; `make catalogues` compiles it into the `so8t.mo`
beside it, which is what is read, once, when its language is first spoken.
"""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

Language = Literal["en", "ja"]

LANGUAGES: tuple[Language, ...] = ("en", "ja")
DOMAIN = "so8t"
FOLDER = Path(__file__).parent


@cache
def _catalogue(language: Language) -> gettext.NullTranslations:
    if language == "en":
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, FOLDER, [language])


@dataclass(frozen=True)
class Words:
    """Translates the interface's own strings; names of values that engines add stay as they are."""

    language: Language = "en"

    def __call__(self, text: str, **values: object) -> str:
        """The wording of `text` in the language, its `{name}` places filled."""
        # to gettext the empty message is the catalogue's header
        wording = _catalogue(self.language).gettext(text) if text else text
        return wording.format(**values) if values else wording

    @property
    def other(self) -> Words:
        """The next language."""
        return Words("ja" if self.language == "en" else "en")


def language_of(environment: Mapping[str, str]) -> Language:
    """The language that the environment asks for: `SO8T_LANG`, then the POSIX locale variables."""
    for name in ("SO8T_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment.get(name, "")
        if value:
            return "ja" if value.lower().startswith("ja") else "en"
    return "en"
