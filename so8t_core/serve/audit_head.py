"""The newest record's number and hash, signed, in a second place: a shortened log shows."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import AuditError
from so8t_core.contract.files import canonical_json, fsync_path, sha256_text
from so8t_core.contract.settings.serve import AuditSettings
from so8t_core.serve.audit_keys import AuditKeys, PublicKey
from so8t_core.serve.audit_record import Link

_DOMAIN = b"so8t-audit-head-1\n"
_SLOT_BYTES = 512


@dataclass(frozen=True)
class Head:
    """What one slot says."""

    log: str
    link: Link


class HeadFile:
    """Two slots of 512 bytes that are written in turn, so that a crash leaves the older one."""

    def __init__(self, path: Path, keys: AuditKeys, log: str) -> None:
        self._keys = keys
        self._log = log
        self._turn = 0
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchmod(self._descriptor, 0o600)
        fsync_path(path.parent)

    def write(self, link: Link) -> None:
        """Make the new head durable. Raises `OSError`."""
        body = {"log": self._log, "seq": link.seq, "hash": link.hash}
        signature = self._keys.sign(_DOMAIN + canonical_json(body).encode())
        slot = canonical_json({**body, "signature": signature}).encode("ascii")
        data = slot.ljust(_SLOT_BYTES - 1) + b"\n"
        if os.pwrite(self._descriptor, data, self._turn * _SLOT_BYTES) != _SLOT_BYTES:
            raise OSError("short write")
        os.fdatasync(self._descriptor)
        self._turn = 1 - self._turn

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def read_head(path: Path, public: PublicKey) -> Head | None:
    """The newest head; None where none was ever written.

    Raises `AuditError` where it cannot be read, or a slot is damaged or not signed by the key.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditError(
            f"The audit log's head cannot be read ({error.strerror}).",
            where=str(path),
            hint="Check as a user who may read it.",
        ) from error
    slots = [data[at : at + _SLOT_BYTES] for at in range(0, len(data), _SLOT_BYTES)]
    if not slots:
        return None
    heads = [_read_slot(slot, public) for slot in slots]
    if len(slots) > 2 or None in heads:
        bad = heads.index(None) + 1 if None in heads else 3
        raise AuditError(
            "The audit log's head was changed or damaged.",
            where=f"{path}: slot {bad}",
            hint="Do not go on with this log before you know why; `so8t audit verify` shows more.",
        )
    return max((head for head in heads if head is not None), key=lambda head: head.link.seq)


def _read_slot(slot: bytes, public: PublicKey) -> Head | None:
    """What a slot says; None where it is anything but what `HeadFile` writes, signed."""
    try:
        value: Any = json.loads(slot)
        body = {"log": value["log"], "seq": value["seq"], "hash": value["hash"]}
        signature = value["signature"]
        exact = canonical_json({**body, "signature": signature}).encode("ascii")
        signed = public.accepts(signature, _DOMAIN + canonical_json(body).encode("ascii"))
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    if exact.ljust(_SLOT_BYTES - 1) + b"\n" != slot or not signed:
        return None
    return Head(body["log"], Link(body["seq"], body["hash"]))


def mark_path(settings: AuditSettings) -> Path:
    """Where the newest signed record is noted a third time: beside the keys, for each log.

    It shows that log and head were put back, or removed, together.
    """
    of_log = sha256_text(str(settings.folder.absolute()))[:12]
    return settings.keys_file.absolute().with_name(f"{settings.keys_file.stem}-{of_log}.mark")
