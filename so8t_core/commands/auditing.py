"""`so8t audit`: make, check, show and rotate the audit log."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, InputMissing, UsageError
from so8t_core.contract.settings.serve import ServeSettings

if TYPE_CHECKING:
    from so8t_core.serve.audit_record import Link
    from so8t_core.serve.audit_verify import Verified

_ROTATE_WAIT_S = 10.0


def init(arguments: Namespace) -> int:
    """`so8t audit init`: make the secret keys of the audit log."""
    from so8t_core.serve.audit_keys import create_keys, public_path

    path = _settings(arguments).audit.keys_file
    create_keys(path)
    print(f"{path}: secret keys, for their owner alone. Keep a copy apart from the log.")
    print(f"{public_path(path)}: public key, for whoever checks the log.")
    return EXIT_DONE


def verify(arguments: Namespace) -> int:
    """`so8t audit verify`: check every record; exit 4 unless all are known to be good."""
    from so8t_core.serve.audit_head import mark_path
    from so8t_core.serve.audit_keys import load_keys, load_public
    from so8t_core.serve.audit_verify import Verdict, verify_log

    settings = _settings(arguments).audit
    secret = None
    if arguments.public_key is not None:
        public = load_public(arguments.public_key)
    else:
        keys = load_keys(settings.keys_file)
        public, secret = keys.public, keys.secret
    mark = mark_path(settings)
    result = verify_log(
        settings.folder,
        settings.head_file,
        public,
        secret=secret,
        mark_file=mark if os.access(mark, os.R_OK) else None,
        expected=_noted(arguments.expect_at_least),
    )
    if arguments.json:
        print(json.dumps(_as_json(result), indent=2))
    else:
        _tell(result)
    return EXIT_DONE if result.verdict is Verdict.INTACT else EXIT_FAILED


def _as_json(result: Verified) -> dict[str, object]:
    return {
        "verdict": result.verdict.value,
        "intact": result.verdict.value == "intact",
        "records": result.records,
        "signatures": result.signatures,
        "unvouched": result.unvouched,
        "seals_checked": result.sealed,
        "newest": {"seq": result.link.seq, "hash": result.link.hash},
        "noted_beside_keys": None if result.mark is None else result.mark.link.seq,
        "doubts": result.doubts,
        "fault": None if result.fault is None else vars(result.fault),
    }


def _tell(result: Verified) -> None:
    if result.fault is not None:
        print(f"NO  {result.fault}")
        return
    print(
        f"{'??' if result.doubts else 'ok'}  {result.records} records, "
        f"{result.signatures} signatures, newest record {result.link.seq}"
    )
    for doubt in result.doubts:
        print(f"    {doubt}")
    if result.unvouched and result.sealed:
        print(f"    {result.unvouched} behind the newest signature: their answers never left")
    if result.mark is None and result.expected is None:
        print("    whether log and head are both of an earlier day cannot be known from them")
    if result.records:
        print(f"    to know it later: --expect-at-least {result.link.seq}:{result.link.hash}")


def _noted(text: str | None) -> Link | None:
    """`N` or `N:HASH`, as `so8t audit verify` prints it."""
    from so8t_core.serve.audit_record import Link

    if text is None:
        return None
    found = re.fullmatch("([0-9]{1,18})(?::([0-9a-f]{64}))?", text)
    if found is None:
        raise UsageError(
            "This is no number of a record, nor number and hash.",
            where=f"--expect-at-least {text}",
            hint="`so8t audit verify` prints what to note: N:HASH.",
        )
    return Link(int(found[1]), found[2] or "")


def show(arguments: Namespace) -> int:
    """`so8t audit show`: the newest records, oldest first."""
    from collections import deque

    from so8t_core.contract.plain import plain_text
    from so8t_core.serve.audit_verify import log_files, read_lines

    settings = _settings(arguments).audit
    newest: deque[str] = deque(maxlen=arguments.last)
    for path in log_files(settings.folder):
        for line in read_lines(path):
            text = line.decode("ascii", errors="replace").rstrip()
            if arguments.id is None or f'"id":"{arguments.id}"' in text:
                newest.append(text)
    for text in newest:
        print(plain_text(text) if arguments.json else _row(text))
    return EXIT_DONE


def _row(text: str) -> str:
    """One record as a line for reading."""
    from so8t_core.contract.plain import plain_text

    try:
        record = json.loads(text)
        head = f"{record['seq']:>8} {record['at']} {record['kind']:<10}"
        if record["kind"] == "request":
            head += (
                f" {record['outcome']:<9} {record['label']:<10} {record['route']:<5} "
                f"{record['key']} {record['id']}"
            )
    except (ValueError, LookupError, TypeError):
        return "unreadable; `so8t audit verify` says more"
    return plain_text(head)


def rotate(arguments: Namespace) -> int:
    """`so8t audit rotate`: begin a new file of the log, in the running server or without one."""
    from so8t_core.serve.audit import AuditLog
    from so8t_core.serve.audit_keys import load_keys
    from so8t_core.serve.audit_lock import holder
    from so8t_core.serve.audit_record import NOTHING_SERVED
    from so8t_core.serve.audit_verify import log_files

    settings = _settings(arguments).audit
    pid = holder(settings.folder)
    if pid is None:
        audit = AuditLog(settings, load_keys(settings.keys_file), NOTHING_SERVED)
        try:
            audit.rotate().result()
        finally:
            audit.close()
    else:
        before = len(log_files(settings.folder))
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + _ROTATE_WAIT_S
        while len(log_files(settings.folder)) == before:
            if time.monotonic() > deadline:
                raise InputMissing(
                    "The running server did not begin a new file.",
                    where=f"pid {pid}",
                    hint="Look into its log.",
                )
            time.sleep(0.05)
    print(log_files(settings.folder)[-1])
    return EXIT_DONE


def _settings(arguments: Namespace) -> ServeSettings:
    return load_settings(arguments.config, arguments.set, section="serve").serve
