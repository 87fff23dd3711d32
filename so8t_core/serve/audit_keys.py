"""The audit log's secret keys: made once, kept elsewhere, readable by their owner alone."""

from __future__ import annotations

import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from so8t_core.contract.errors import AuditError
from so8t_core.contract.files import fsync_path

_VERSION = 1
_KEY_BYTES = 32
PUBLIC_SUFFIX = ".pub"


@dataclass(frozen=True, repr=False)
class AuditKeys:
    """`secret` keys the HMACs (32 bytes); `signing` signs checkpoints and heads (Ed25519)."""

    secret: bytes
    signing: Ed25519PrivateKey

    def sign(self, data: bytes) -> str:
        """Hexadecimal Ed25519 signature (RFC 8032)."""
        return self.signing.sign(data).hex()

    @property
    def public(self) -> PublicKey:
        """What checks the signatures."""
        return PublicKey(self.signing.public_key())


@dataclass(frozen=True)
class PublicKey:
    """The half of the signing key that everybody may have."""

    key: Ed25519PublicKey

    @property
    def text(self) -> str:
        """Hexadecimal form, as in the `.pub` file."""
        return self.key.public_bytes_raw().hex()

    def accepts(self, signature: object, data: bytes) -> bool:
        """Whether the signature is one of this key over the data."""
        if not isinstance(signature, str):
            return False
        try:
            self.key.verify(bytes.fromhex(signature), data)
        except (InvalidSignature, ValueError):
            return False
        return True


def create_keys(path: Path) -> AuditKeys:
    """Make new keys at `path` (mode 0600) and the public one beside it.

    Raises `AuditError` where there are keys already: a log can be checked with its own alone.
    """
    keys = AuditKeys(secrets.token_bytes(_KEY_BYTES), Ed25519PrivateKey.generate())
    content = {
        "version": _VERSION,
        "secret": keys.secret.hex(),
        "signing": keys.signing.private_bytes_raw().hex(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_new(path, json.dumps(content) + "\n", 0o600)
        _write_new(public_path(path), keys.public.text + "\n", 0o644)
        fsync_path(path.parent)
    except FileExistsError as error:
        raise AuditError(
            "There are audit keys already.",
            where=str(error.filename),
            hint="Keep them as long as their log; for a new log set other paths in serve.audit.",
        ) from error
    return keys


def public_path(path: Path) -> Path:
    """Where the public key of the keys at `path` lies."""
    return path.with_suffix(PUBLIC_SUFFIX)


def _write_new(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def load_keys(path: Path) -> AuditKeys:
    """Read the keys.

    Raises `AuditError` where they are missing, damaged, or open to anybody but their owner.
    """
    content = _read_private(path)
    try:
        value: Any = json.loads(content)
        if value["version"] != _VERSION:
            raise ValueError
        secret = bytes.fromhex(value["secret"])
        if len(secret) != _KEY_BYTES:
            raise ValueError
        signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(value["signing"]))
    except (ValueError, TypeError, LookupError):
        # no cause: it would carry the file's content into a traceback
        raise AuditError(
            "The audit keys are damaged.",
            where=str(path),
            hint="Take them from a backup; new keys need a new log.",
        ) from None
    return AuditKeys(secret, signing)


def _read_private(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise AuditError(
            "There are no audit keys." if missing else f"No audit keys: {error.strerror}.",
            where=str(path),
            hint="`so8t audit init` makes them; serve.audit.keys_file says where they are.",
        ) from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            raise AuditError(
                "Others than their owner have access to the audit keys.",
                where=f"{path} (mode {stat.S_IMODE(status.st_mode):04o})",
                hint="chmod 600; if somebody may have read them, begin a new log with new keys.",
            )
        if status.st_uid not in (os.geteuid(), 0):
            raise AuditError(
                "The audit keys belong to another user.",
                where=str(path),
                hint="Run as that user, or make keys of your own.",
            )
        return file.read(1 << 16)


def load_public(path: Path) -> PublicKey:
    """Read a `.pub` file. Raises `AuditError` where it is missing or damaged."""
    try:
        raw = bytes.fromhex(path.read_text(encoding="ascii").strip())
        return PublicKey(Ed25519PublicKey.from_public_bytes(raw))
    except (OSError, ValueError) as error:
        raise AuditError(
            "The public key of the audit log cannot be read.",
            where=str(path),
            hint="`so8t audit init` wrote it beside the secret keys; --public-key names another.",
        ) from error
