"""The report's wording in each language: headings, prose, labels of keys, units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict

from so8t_core.reporting.amounts import shown, unit_of
from so8t_core.reporting.document import Figure, Outside, Several, Words


class _Wording(BaseModel):
    """One file of `locale/`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, str]
    words: dict[str, str]
    labels: dict[str, str]


@dataclass(frozen=True)
class Catalogue:
    """One language."""

    language: str
    wording: _Wording

    def words(self, key: str) -> Words:
        """A heading or a sentence of ours."""
        return Words(self.wording.words[key])

    def has_words(self, key: str) -> bool:
        """Whether there is a wording for the key."""
        return key in self.wording.words

    def label(self, key: str) -> Words | Outside:
        """What a key is called; an unknown one is made readable and counts as from outside."""
        known = self.wording.labels.get(key)
        if known is not None:
            return Words(known)
        measure = unit_of(key)[0]
        known = self.wording.labels.get(measure)
        return Words(known) if known is not None else Outside(measure.replace("_", " "))

    def value(self, figure: Figure) -> str:
        """A figure as it is shown, unit included."""
        return shown(figure.name, figure.value, self.wording.values)

    def values(self, several: Several) -> str:
        """Several figures as they are shown."""
        joint = " – " if several.interval else ", "
        return joint.join(self.value(figure) for figure in several.figures)


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language that `locale/` has a file for."""
    text = (files("so8t_core.reporting") / "locale" / f"{language}.yaml").read_text("utf-8")
    return Catalogue(language, _Wording.model_validate(yaml.safe_load(text)))
