"""What a user wants of the interface, kept in a small TOML file in their configuration folder."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import SettingsError, StoreError
from so8t_core.contract.files import PARTIAL_SUFFIX

FILE_NAME = "interface.toml"
_KINDS: Mapping[str, type] = {"language": str, "theme": str, "hint_seen": bool, "read_only": bool}


@dataclass(frozen=True)
class Preferences:
    """A user's choices; an empty language or theme follows the environment.

    `keys` maps the names of bindings (docs/keymap.md lists them) to keys, several by commas.
    """

    language: str = ""
    theme: str = ""
    read_only: bool = False
    hint_seen: bool = False
    keys: Mapping[str, str] = field(default_factory=dict)


def preferences_file(environment: Mapping[str, str]) -> Path:
    """Where the file is or would be: below XDG_CONFIG_HOME, or ~/.config."""
    folder = environment.get("XDG_CONFIG_HOME", "")
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".config"
    return base / "so8t" / FILE_NAME


def copied_file(environment: Mapping[str, str]) -> Path:
    """Where copied text is kept too: below XDG_STATE_HOME, or ~/.local/state."""
    folder = environment.get("XDG_STATE_HOME", "")
    base = Path(folder) if os.path.isabs(folder) else Path.home() / ".local" / "state"
    return base / "so8t" / "copied.txt"


def read_preferences(path: Path) -> Preferences:
    """What the file says; the defaults where there is none. Raises `SettingsError`."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Preferences()
    except (OSError, ValueError) as error:
        raise _wrong(path, f"it cannot be read: {error}") from error
    known = {each.name for each in fields(Preferences)}
    unknown = sorted(raw.keys() - known)
    if unknown:
        raise _wrong(path, f"it has unknown settings: {', '.join(unknown)}")
    for name, kind in _KINDS.items():
        if name in raw and type(raw[name]) is not kind:
            raise _wrong(path, f"`{name}` must be a {kind.__name__}")
    keys = raw.get("keys", {})
    if not isinstance(keys, dict) or any(type(key) is not str for key in keys.values()):
        raise _wrong(path, "`keys` must be a table of texts")
    return Preferences(**raw)


def _wrong(path: Path, why: str) -> SettingsError:
    return SettingsError(
        f"The interface's settings are not used: {why}.",
        where=str(path),
        hint="Mend the file, or remove it; the defaults are used meanwhile.",
    )


def write_preferences(path: Path, wanted: Preferences) -> None:
    """Write the file, in one step. Raises `StoreError`."""
    lines = [f"{name} = {_toml(getattr(wanted, name))}" for name in _KINDS]
    if wanted.keys:
        lines += ["", "[keys]"]
        lines += [f"{_toml(name)} = {_toml(key)}" for name, key in wanted.keys.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(
            f"The interface's settings cannot be kept: {error.strerror}.",
            where=str(path),
            hint="Check the folder's permissions; this session goes on without.",
        ) from error


def _toml(value: Any) -> str:
    """A text or a truth value as TOML; JSON's strings are TOML's basic strings."""
    return json.dumps(value, ensure_ascii=False)
