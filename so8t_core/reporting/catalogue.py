"""The report's wording in each language: headings, prose, labels of keys, units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml
from pydantic import BaseModel, ConfigDict

from so8t_core.reporting.amounts import shown, shown_beside, unit_along, unit_of
from so8t_core.reporting.document import Figure, Outside, Several, Words

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_FOLD = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")
"""The space that a folded YAML line leaves between two Japanese characters."""
_OWN_TERMS = frozenset({"verdict", "meaning"})


class _Wording(BaseModel):
    """One file of `locale/`. `terms` translates texts that manifests hold in English."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, str]
    words: dict[str, str]
    labels: dict[str, str]
    reasons: dict[str, str]
    terms: dict[str, str]


@dataclass(frozen=True)
class Catalogue:
    """One language."""

    language: str
    wording: _Wording

    def words(self, key: str) -> Words:
        """A heading or a sentence of ours."""
        return Words(self.wording.words[key])

    def label(self, key: str) -> Words | Outside:
        """What a key is called.

        One that is not in the catalogue counts as from outside: a name of ours is made readable,
        anything else (a host, a licence, a file) stays as it is.
        """
        known = self.wording.labels.get(key)
        if known is not None:
            return Words(known)
        measure = unit_of(key)[0]
        known = self.wording.labels.get(measure)
        if known is not None:
            return Words(known)
        if _IDENTIFIER.fullmatch(key):
            return Outside(measure.replace("_", " ").capitalize())
        return Outside(key)

    def reason(self, key: str) -> Words | Outside:
        """Why something was left out, or what kind of thing was counted."""
        known = self.wording.reasons.get(key)
        return Outside(key.replace("_", " ")) if known is None else Words(known)

    def value(self, figure: Figure) -> str:
        """A figure as it is shown, unit included; words of our own are translated."""
        if isinstance(figure.value, str) and figure.name in _OWN_TERMS:
            return self.wording.terms.get(figure.value, figure.value)
        return shown(unit_along(figure.path), figure.value, self.wording.values)

    def values(self, several: Several) -> tuple[str, ...]:
        """Several figures as they are shown; of an interval only the end names the unit."""
        if not several.interval:
            return tuple(map(self.value, several.figures))
        low, high = several.figures
        unit = unit_along(low.path)
        return shown_beside(unit, low.value, self.wording.values), self.value(high)


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of a language that `locale/` has a file for."""
    text = (files("so8t_core.reporting") / "locale" / f"{language}.yaml").read_text("utf-8")
    parts: dict[str, dict[str, str]] = yaml.safe_load(text)
    unfolded = {
        part: {key: _FOLD.sub("", value) for key, value in entries.items()}
        for part, entries in parts.items()
    }
    return Catalogue(language, _Wording.model_validate(unfolded))
