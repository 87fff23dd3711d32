"""A user's own keys, checked before they are used: a wrong one would change nothing, unseen."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from so8t_tui.keymap import owned_bindings

_MODIFIERS = frozenset({"ctrl", "shift", "alt", "meta", "super", "hyper"})
_NAMED = frozenset(key.value.split("+")[-1] for key in Keys if not key.value.startswith("<"))


@dataclass(frozen=True)
class Remapping:
    """Keys by the names of bindings, as Textual takes them, and why some names keep their keys."""

    keys: Mapping[str, str]
    wrong: Mapping[str, str]


def remapping(wanted: Mapping[str, str]) -> Remapping:
    """What of the wanted keys can be used."""
    owned = [(owner, binding) for owner, binding in owned_bindings() if binding.id]
    known = {binding.id: binding for _, binding in owned if binding.id}
    wrong = {name: why for name, key in wanted.items() if (why := _why_not(name, key, known))}
    taken = {name: key for name, key in wanted.items() if name not in wrong}
    wrong |= dict(_clashes(owned, taken))
    taken = {name: key for name, key in taken.items() if name not in wrong}
    return Remapping(_with_partners(owned, taken), wrong)


def is_key(key: str) -> bool:
    """Whether a terminal can send such a key: a character, or a name with or without modifiers."""
    if len(key) == 1:
        return key.isprintable() and not key.isspace()
    *modifiers, base = key.split("+")
    if not base or not _MODIFIERS.issuperset(modifiers):
        return False
    if len(base) == 1:
        return base.isalnum()
    return base in _NAMED or base in KEY_NAME_REPLACEMENTS.values() or _is_character(base)


def _is_character(name: str) -> bool:
    """Whether it is a character's name as Textual writes it, such as `question_mark`."""
    try:
        return unicodedata.lookup(name.replace("_", " ")).isprintable()
    except KeyError:
        return False


def _keys_of(text: str) -> list[str]:
    return [key.strip() for key in text.split(",")]


def _why_not(name: str, text: str, known: Mapping[str, Binding]) -> str:
    if name not in known:
        near = get_close_matches(name, known, 1)
        return f"no key has that name; {near[0]}?" if near else "no key has that name"
    for key in _keys_of(text):
        if not is_key(key):
            near = get_close_matches(key, _NAMED, 1)
            told = f"`{key}` is no key" if key else "a key is missing"
            return f"{told}; {near[0]}?" if key and near else told
    return ""


def _clashes(
    owned: list[tuple[type, Binding]], wanted: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Wanted keys that do something else in the same place; what shares a key by default may."""
    for place, (owner, binding) in enumerate(owned):
        name = str(binding.id)
        if name not in wanted:
            continue
        for other_place, (other_owner, other) in enumerate(owned):
            if other_place == place or not _one_place(owner, other_owner):
                continue
            if set(_keys_of(binding.key)) & set(_keys_of(other.key)):
                continue
            keys = set(_keys_of(wanted.get(str(other.id), other.key)))
            shared = sorted(set(_keys_of(wanted[name])) & keys)
            if shared:
                yield name, f"`{shared[0]}` is the key of {other.id} there"


def _one_place(one: type, other: type) -> bool:
    """Whether the bindings of both stand in one map: a class and what it inherits from."""
    return issubclass(one, other) or issubclass(other, one)


def _with_partners(
    owned: list[tuple[type, Binding]], wanted: Mapping[str, str]
) -> Mapping[str, str]:
    """The wanted keys, and the default ones of bindings that share a key with those.

    Textual takes a remapped binding's old key from all that have it: who moves Pause away from the
    space bar would lose Resume with it.
    """
    keys = dict(wanted)
    for owner, binding in owned:
        if str(binding.id) not in wanted:
            continue
        for other_owner, other in owned:
            shares = set(_keys_of(binding.key)) & set(_keys_of(other.key))
            if shares and _one_place(owner, other_owner):
                keys.setdefault(str(other.id), other.key)
    return keys
