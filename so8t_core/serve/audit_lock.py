"""Who writes an audit log: one server at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from so8t_core.contract.errors import AuditError

LOCK_NAME = "lock"


def holder(folder: Path) -> int | None:
    """Pid of the server that writes the log in this folder; None where there is none."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return int(os.pread(descriptor, 32, 0) or b"0")
    finally:
        os.close(descriptor)
    return None


def take_lock(folder: Path) -> int:
    """Descriptor of the lock, to be closed. Raises `AuditError` where another server has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise unwritable(error, folder) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AuditError(
            f"Another server writes this audit log (pid {holder(folder)}).",
            where=str(folder),
            hint="Give each server a log of its own (serve.audit.folder and head_file).",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def unwritable(error: Exception, folder: Path) -> AuditError:
    """The error of a log that cannot be written."""
    reason = error.strerror if isinstance(error, OSError) else type(error).__name__
    return AuditError(
        f"The audit log cannot be written ({reason}).",
        where=str(folder),
        hint="Free some space or mend the disk; until then nothing is answered.",
    )


def closed(folder: Path) -> AuditError:
    """The error of a log that is not written any more."""
    return AuditError(
        "The audit log takes no more records.",
        where=str(folder),
        hint="Start the server again; `so8t audit verify` says how the log stands.",
    )
