"""One phase by itself: in a run, or directly on model folders."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from so8t_core.commands.steer import launch
from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, UsageError
from so8t_core.contract.runs import create_run, find_run


def phase(arguments: Namespace) -> int:
    """`so8t PHASE (-c FILE | --run RUN)`: this phase alone, in a new run or an old one."""
    if arguments.in_run is not None:
        run = find_run(arguments.in_run, arguments.runs_dir)
    elif arguments.config is not None:
        run = create_run(arguments.runs_dir, load_settings(arguments.config, arguments.set))
    else:
        raise UsageError(
            f"`so8t {arguments.command}` needs a run or a settings file.",
            hint=f"For example: so8t {arguments.command} --run RUN, or -c FILE",
        )
    return launch(run, arguments, only=(arguments.command,))


def verify(arguments: Namespace) -> int:
    """`so8t verify --model-path P`: the proof on one base model, as a table or JSON."""
    if arguments.model_path is None:
        return phase(arguments)
    from so8t_core.model.verify import verify_folder

    return _print(arguments, verify_folder(arguments.model_path))


def integrate(arguments: Namespace) -> int:
    """`so8t integrate --model-path P --output-path Q`: gates into any Phi-3 folder."""
    if arguments.model_path is None:
        return phase(arguments)
    _need(arguments, "output_path")
    from so8t_core.model.integrate import integrate_folder

    return _print(arguments, integrate_folder(arguments.model_path, arguments.output_path))


def export(arguments: Namespace) -> int:
    """`so8t export --fold-only --model-path Q --output-path F`: fold a gated checkpoint."""
    if not arguments.fold_only:
        return phase(arguments)
    _need(arguments, "model_path")
    _need(arguments, "output_path")
    from so8t_core.model.fold import fold_checkpoint

    report = fold_checkpoint(
        arguments.model_path,
        arguments.output_path,
        adapter=arguments.adapter_path,
        dtype=arguments.dtype,
    )
    return _print(arguments, report)


def _need(arguments: Namespace, name: str) -> None:
    if getattr(arguments, name) is None:
        option = "--" + name.replace("_", "-")
        raise UsageError(
            f"`so8t {arguments.command}` needs {option} here.",
            hint=f"so8t {arguments.command} --help shows an example.",
        )


def _print(arguments: Namespace, report: Any) -> int:
    values = report if isinstance(report, dict) else asdict(report)
    if arguments.json:
        print(json.dumps(values, ensure_ascii=False, indent=2, default=str))
        return EXIT_DONE
    for name, value in values.items():
        print(f"{name.replace('_', ' '):<28} {value}")
    return EXIT_DONE
