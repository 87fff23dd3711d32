"""Audit logs for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.serve import AuditSettings
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.audit_head import mark_path
from so8t_core.serve.audit_keys import AuditKeys, create_keys, load_keys
from so8t_core.serve.audit_record import Entry, Outcome, Served
from so8t_core.serve.audit_verify import Verified, verify_log
from so8t_core.serve.think import ParseStatus

SERVED = Served(model="a" * 64, tokenizer="b" * 64, template="c" * 64)
SECRET = "CANARY-thought"


def audit_settings(folder: Path, **changes: Any) -> AuditSettings:
    return AuditSettings(
        folder=folder / "log",
        keys_file=folder / "keys" / "audit.json",
        head_file=folder / "head" / "audit.head",
        **changes,
    )


def keys_of(settings: AuditSettings) -> AuditKeys:
    if settings.keys_file.exists():
        return load_keys(settings.keys_file)
    return create_keys(settings.keys_file)


def open_log(settings: AuditSettings) -> AuditLog:
    return AuditLog(settings, keys_of(settings), SERVED)


def entry(number: int) -> Entry:
    texts = {"task": f"{SECRET}{number}", "final": f"{SECRET} answer", "output": SECRET * 3}
    return Entry(
        request_id=f"{number:032x}",
        key_id="local",
        route="think",
        outcome=Outcome.ANSWERED,
        label=SafetyLabel.ALLOW,
        parsed=ParseStatus.COMPLETE,
        finish="stop",
        asked_bytes=number,
        texts={name: text.encode() for name, text in texts.items()},
    )


def write(log: AuditLog, entries: Sequence[Entry]) -> list[int]:
    """Hand over the entries at once; their numbers when they are durable."""
    futures: list[Future[int]] = [log._submit(entry) for entry in entries]
    wait(futures)
    return [future.result() for future in futures]


def verify(settings: AuditSettings, *, with_secret: bool = True) -> Verified:
    keys = keys_of(settings)
    return verify_log(
        settings.folder,
        settings.head_file,
        keys.public,
        secret=keys.secret if with_secret else None,
        mark_file=mark_path(settings),
    )
