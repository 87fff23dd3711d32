"""`so8t serve` and `so8t audit`."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, InputMissing, UsageError
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import find_run
from so8t_core.contract.settings.serve import ServeSettings

if TYPE_CHECKING:
    from so8t_core.serve.backend import Backend

_ROTATE_WAIT_S = 10.0
_SWITCH_S = 0.0001
"""How long a thread may keep the interpreter: callers are refused quickly while the model works."""
_GGUF_SUFFIX = ".gguf"


def serve(arguments: Namespace) -> int:
    """`so8t serve [RUN] [-c FILE] [--model-path P]`: serve a model until told to stop."""
    settings = load_settings(arguments.config, arguments.set, section="serve").serve
    if arguments.new_key is not None:
        return _new_key(settings, arguments.new_key)
    settings = _with_model(settings, arguments)
    import asyncio

    from so8t_core.serve.access import Keys
    from so8t_core.serve.audit import AuditLog
    from so8t_core.serve.audit_keys import load_keys
    from so8t_core.serve.door import Judge, with_classifier, word_lists
    from so8t_core.serve.logs import install
    from so8t_core.serve.selftest import check_backend
    from so8t_core.serve.server import Server, run_until_told

    keys = Keys.read(settings.keys_file)
    safety = settings.safety
    judge: Judge = word_lists
    if safety.classifier is not None:
        judge = with_classifier(safety.classifier, flag_above=safety.flag_above)
    audit_keys = load_keys(settings.audit.keys_file)
    backend = _load(settings)
    check_backend(backend, instructions=settings.instructions, where=str(settings.model))
    audit = AuditLog(settings.audit, audit_keys, backend.served)
    try:
        install(sys.stderr, debug=arguments.debug)
        sys.setswitchinterval(_SWITCH_S)
        gc.collect()
        gc.freeze()  # what was loaded stays: searching it for garbage would hold up every caller

        async def run() -> None:
            server = Server(settings, backend, audit, keys, judge)
            await run_until_told(
                server, audit, lambda: _announce(settings, server.port, server.metrics_port)
            )

        asyncio.run(run())
    finally:
        audit.close()
        backend.close()
    return EXIT_DONE


def _announce(settings: ServeSettings, port: int, metrics_port: int | None) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"{settings.name} is served on http://{host}:{port}", flush=True)
    if metrics_port is not None:
        host = settings.metrics_host
        print(
            f"metrics on http://{f'[{host}]' if ':' in host else host}:{metrics_port}/metrics",
            flush=True,
        )
    if settings.keys_file is None:
        print("Anybody on this machine may ask; serve.keys_file asks for keys.", flush=True)


def _new_key(settings: ServeSettings, name: str) -> int:
    from so8t_core.serve.access import add_key

    if settings.keys_file is None:
        raise UsageError(
            "No file for keys is set.",
            hint=f"For example: so8t serve --new-key {name} --set serve.keys_file=keys.json",
        )
    token = add_key(settings.keys_file, name)
    print(token)
    print("This key is shown once; the file keeps its hash.", file=sys.stderr)
    return EXIT_DONE


def _with_model(settings: ServeSettings, arguments: Namespace) -> ServeSettings:
    """The settings with the model that the command line names: a path, or a run's export."""
    if arguments.model_path is not None:
        if arguments.run is not None:
            raise UsageError("Name a run or a model, not both.")
        return settings.model_copy(update={"model": arguments.model_path.absolute()})
    if arguments.run is None and settings.model is not None:
        return settings
    run = find_run(arguments.run, arguments.runs_dir)
    path, digest = _exported(run, arguments.gguf)
    return settings.model_copy(update={"model": path, "model_sha256": digest})


def _exported(run: RunDir, gguf: str | None) -> tuple[Path, str | None]:
    """What the export phase left: the folded folder, or a GGUF file with its known digest."""
    folder = run.phase("export")
    manifest = Manifest.read(folder)
    if manifest is None:
        raise InputMissing(
            "The run has exported nothing yet.",
            where=str(folder),
            hint=f"so8t export --run {run.name}, or name a model with --model-path.",
        )
    if gguf is None:
        manifest.check_outputs(folder)
        return folder / "folded", None
    ending = f"-{gguf}{_GGUF_SUFFIX}".lower()
    found = [file for file in manifest.outputs if file.path.lower().endswith(ending)]
    if not found:
        raise InputMissing(
            f"The run has no GGUF file of type {gguf}.",
            where=str(folder),
            hint="Choose one of export.gguf_types, or export again with it.",
        )
    return folder / found[0].path, found[0].sha256


def _load(settings: ServeSettings) -> Backend:
    assert settings.model is not None
    if settings.model.suffix == _GGUF_SUFFIX:
        from so8t_core.serve.llama_backend import LlamaBackend

        return LlamaBackend(settings.model, settings.model_sha256, settings)
    from so8t_core.serve.torch_backend import TorchBackend

    return TorchBackend(settings.model, settings)


def audit_init(arguments: Namespace) -> int:
    """`so8t audit init`: make the secret keys of the audit log."""
    from so8t_core.serve.audit_keys import create_keys, public_path

    path = _settings(arguments).audit.keys_file
    create_keys(path)
    print(f"{path}: secret keys, for their owner alone. Keep a copy apart from the log.")
    print(f"{public_path(path)}: public key, for whoever checks the log.")
    return EXIT_DONE


def audit_verify(arguments: Namespace) -> int:
    """`so8t audit verify`: check every record; exit 4 and the first bad one where there is one."""
    from so8t_core.serve.audit_keys import load_keys, load_public
    from so8t_core.serve.audit_verify import verify_log

    settings = _settings(arguments).audit
    secret = None
    if arguments.public_key is not None:
        public = load_public(arguments.public_key)
    else:
        keys = load_keys(settings.keys_file)
        public, secret = keys.public, keys.secret
    result = verify_log(settings.folder, settings.head_file, public, secret=secret)
    if arguments.json:
        fault = None if result.fault is None else vars(result.fault)
        print(
            json.dumps(
                {
                    "intact": fault is None,
                    "records": result.records,
                    "signatures": result.signatures,
                    "unvouched": result.unvouched,
                    "seals_checked": secret is not None,
                    "fault": fault,
                },
                indent=2,
            )
        )
    elif result.fault is not None:
        print(f"NO  {result.fault}")
    else:
        print(
            f"ok  {result.records} records, {result.signatures} signatures, newest record "
            f"{result.link.seq}"
        )
        if result.unvouched:
            print(f"    {result.unvouched} behind the newest signature: their answers never left")
    return EXIT_DONE if result.fault is None else EXIT_FAILED


def audit_show(arguments: Namespace) -> int:
    """`so8t audit show`: the newest records, oldest first."""
    from collections import deque

    from so8t_core.serve.audit_verify import log_files, read_lines

    settings = _settings(arguments).audit
    newest: deque[str] = deque(maxlen=arguments.last)
    for path in log_files(settings.folder):
        for line in read_lines(path):
            text = line.decode("ascii", errors="replace").rstrip()
            if arguments.id is None or f'"id":"{arguments.id}"' in text:
                newest.append(text)
    for text in newest:
        print(text if arguments.json else _row(text))
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


def audit_rotate(arguments: Namespace) -> int:
    """`so8t audit rotate`: begin a new file of the log, in the running server or without one."""
    from so8t_core.serve.audit import AuditLog, holder
    from so8t_core.serve.audit_keys import load_keys
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
