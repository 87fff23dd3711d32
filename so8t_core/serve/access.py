"""Who may ask, and how often: bearer keys that are stored hashed, and a token bucket for each."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import RequestRefused, ServeError, UsageError
from so8t_core.contract.files import write_json
from so8t_core.serve.logs import Ident
from so8t_core.serve.problems import Code

LOCAL = Ident("local")
"""Whose key it is where none is needed."""
_PREFIX = "so8t-"
_SECRET_BYTES = 32
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAX_HEADER = 256


class Keys:
    """The keys that are accepted. Without a file everybody is, as `local`."""

    def __init__(self, hashes: Mapping[str, str] | None) -> None:
        self._hashes = hashes

    @classmethod
    def read(cls, path: Path | None) -> Keys:
        """Read the file. Raises `ServeError` where it is missing, damaged or open to changes."""
        return cls(None if path is None else _read(path))

    def who(self, header: str | None) -> Ident:
        """The id of the key in an Authorization header. Raises `RequestRefused`.

        Every key is compared, each in constant time.
        """
        if self._hashes is None:
            return LOCAL
        scheme, _, token = (header or "")[:_MAX_HEADER].partition(" ")
        found = _hash(token)
        owner: Ident | None = None
        for name, known in self._hashes.items():
            if hmac.compare_digest(found, known):
                owner = Ident(name)
        if owner is None or scheme.lower() != "bearer":
            raise RequestRefused(Code.UNAUTHORISED)
        return owner


def add_key(path: Path, name: str) -> str:
    """Make a key of that name; the file keeps its hash, and only the caller ever sees the key.

    Raises `UsageError` for a name that cannot be, or is taken.
    """
    if not _KEY_NAME.fullmatch(name):
        raise UsageError(
            "A key's name has 1 to 64 letters, digits, dots, dashes and underscores.",
            hint="For example: so8t serve --new-key alice",
        )
    hashes = _read(path) if path.exists() else {}
    if name in hashes:
        raise UsageError(
            f"There is a key called {name!r} already.",
            where=str(path),
            hint="Choose another name, or remove its line to revoke the old one.",
        )
    token = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    before = os.umask(0o077)
    try:
        write_json(path, {"keys": {**hashes, name: _hash(token)}})
    finally:
        os.umask(before)
    return token


def _hash(token: str) -> str:
    """SHA-256; the keys have 256 random bits, so nothing slower is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        status = path.stat()
        value: Any = json.loads(path.read_text(encoding="utf-8"))["keys"]
        good = isinstance(value, dict) and all(
            _KEY_NAME.fullmatch(name) and re.fullmatch("[0-9a-f]{64}", str(known))
            for name, known in value.items()
        )
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ServeError(
            "The file of keys cannot be read.",
            where=str(path),
            hint="`so8t serve --new-key NAME` makes it; serve.keys_file says where it is.",
        ) from error
    if not good:
        raise ServeError(
            "The file of keys is damaged.", where=str(path), hint="Make it again with --new-key."
        )
    if status.st_mode & 0o022:
        raise ServeError(
            "Others may change the file of keys.", where=str(path), hint="chmod 600 it."
        )
    return {str(name): str(known) for name, known in value.items()}


class Buckets:
    """A token bucket for each key: `burst` at once, then `per_minute`."""

    def __init__(self, *, per_minute: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._burst = burst
        self._clock = clock
        self._levels: dict[str, tuple[float, float]] = {}

    def take(self, owner: str) -> None:
        """Take one. Raises `RequestRefused` with the time after which there is one again."""
        now = self._clock()
        level, then = self._levels[owner] if owner in self._levels else (float(self._burst), now)
        level = min(self._burst, level + (now - then) * self._per_second)
        if level < 1:
            self._levels[owner] = (level, now)
            raise RequestRefused(Code.TOO_MANY, retry_after_s=(1 - level) / self._per_second)
        self._levels[owner] = (level - 1, now)
