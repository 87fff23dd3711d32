"""What a user wants of the interface, kept in a small TOML file in their configuration folder."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import SettingsError, StoreError
from so8t_core.contract.files import PARTIAL_SUFFIX
from so8t_tui.text import outside

FILE_NAME = "interface.toml"
_KINDS: Mapping[str, tuple[type, str]] = {
    "language": (str, "a text"),
    "theme": (str, "a text"),
    "hint_seen": (bool, "true or false"),
    "read_only": (bool, "true or false"),
    "keys": (dict, "a table of texts"),
}


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
    text = _text_of(path)
    try:
        raw = tomllib.loads(text)
    except ValueError as error:
        raise _wrong(path, f"it cannot be read: {error}") from error
    for name, value in raw.items():
        kind, wanted = _KINDS.get(name, (None, ""))
        line = line_of(text, name)
        if kind is None:
            raise _wrong(path, f"`{outside(name, 60)}` is no setting", line)
        if type(value) is not kind:
            raise _wrong(path, f"`{name}` must be {wanted}", line)
    keys = dict(_flat(raw.get("keys", {})))
    for name, key in keys.items():
        if type(key) is not str:
            raise _wrong(path, f"`{outside(name, 60)}` must be a text", line_of(text, name))
    return Preferences(**{**raw, "keys": keys})


def _flat(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The names with their dots: without quotes TOML takes `run.pause` for a table in a table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _text_of(path: Path) -> str:
    """What the file holds; nothing where there is none. Raises `SettingsError`."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise _wrong(path, f"it cannot be read: {error}") from error


def line_of(text: str, name: str) -> int | None:
    """The number of the line that sets `name`, or that opens the table of that name."""
    bare = re.escape(name)
    found = re.search(rf"""^[ \t]*(\[\s*)?(["']?){bare}\2\s*(?(1)\]|=)""", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else None


def lines_of(path: Path, names: Iterable[str]) -> list[int | None]:
    """The lines that set the names, as far as they are found. Raises `SettingsError`."""
    text = _text_of(path)
    return [line_of(text, name) for name in names]


def at_line(path: Path, *lines: int | None) -> str:
    """The file, with the lines that are meant where they are known."""
    known = [str(line) for line in lines if line is not None]
    word = "lines" if len(known) > 1 else "line"
    return f"{path}, {word} {', '.join(known)}" if known else str(path)


def _wrong(path: Path, why: str, line: int | None = None) -> SettingsError:
    return SettingsError(
        f"The interface's settings are not used: {why}.",
        where=at_line(path, line),
        hint="Mend the file, or remove it; the defaults are used meanwhile.",
    )


def keep_preferences(path: Path, changes: Mapping[str, str | bool]) -> None:
    """Change these settings in the file, in one step, and nothing else that stands in it.

    It may have been edited since it was read. Raises `SettingsError` where it is wrong now, and
    `StoreError` where it cannot be written.
    """
    read_preferences(path)
    text = _text_of(path)
    for name, value in changes.items():
        told = f"{name} = {json.dumps(value, ensure_ascii=False)}"  # TOML writes these as JSON does
        line = line_of(re.split(r"^\s*\[", text, maxsplit=1, flags=re.MULTILINE)[0], name)
        if line is None:
            text = f"{told}\n{text}"
        else:
            lines = text.splitlines()
            text = "\n".join([*lines[: line - 1], told, *lines[line:]]) + "\n"
    _write(path, text)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(
            f"The interface's settings cannot be kept: {error.strerror}.",
            where=str(path),
            hint="Check the folder's permissions; this session goes on without.",
        ) from error
