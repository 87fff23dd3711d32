"""The interface's language: English is the key, other languages are catalogues of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from so8t_tui.locale.japanese import JAPANESE

Language = Literal["en", "ja"]

LANGUAGES: tuple[Language, ...] = ("en", "ja")
_CATALOGUES: dict[Language, Mapping[str, str]] = {"en": {}, "ja": JAPANESE}


@dataclass(frozen=True)
class Words:
    """Translates the interface's own strings; names of values that engines add stay as they are."""

    language: Language = "en"

    def __call__(self, text: str, **values: object) -> str:
        """The wording of `text` in the language, its `{name}` places filled."""
        wording = _CATALOGUES[self.language].get(text, text)
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
