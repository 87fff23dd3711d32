"""`so8t serve`."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, InputMissing, UsageError
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import find_run
from so8t_core.contract.settings.serve import ServeSettings

if TYPE_CHECKING:
    from so8t_core.serve.backend import Backend

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
    update: dict[str, Any] = {"model": path, "model_sha256": digest}
    if "instructions" not in settings.model_fields_set and _learnt_to_think(run):
        update["instructions"] = None
        told = "The model was trained to think in four parts; it is told nothing before a question."
        print(told, file=sys.stderr)
    return settings.model_copy(update=update)


def _learnt_to_think(run: RunDir) -> bool:
    """Whether answers in four parts were among what the run trained on."""
    trained = Manifest.read(run.phase("train"))
    if trained is None:
        return False
    sources = trained.figures["sources"]
    return bool("thinking" in sources and sources["thinking"]["samples"])


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
