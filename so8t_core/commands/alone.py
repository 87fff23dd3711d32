"""One phase by itself: in a run, or directly on model folders."""

from __future__ import annotations

import json
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from so8t_core.commands.ollama import export_to_ollama
from so8t_core.commands.steer import launch, require_free, want_running
from so8t_core.contract.control import ControlStore, this_user
from so8t_core.contract.errors import EXIT_DONE, EXIT_FAILED, UsageError
from so8t_core.contract.runs import create_run, find_run


def phase(arguments: Namespace) -> int:
    """`so8t PHASE (-c FILE | --run RUN)`: this phase alone, in a new run or an old one."""
    executor = getattr(arguments, "executor", None)  # cleanse alone has it
    if executor is not None:
        if arguments.in_run is not None:
            raise UsageError(
                "A run keeps the executor that it was made with.",
                where="--executor",
                hint="Make a new run: so8t cleanse -c FILE --executor " + executor,
            )
        arguments.set = [*arguments.set, f"cleanse.executor={executor}"]
    if arguments.in_run is not None:
        if arguments.config is not None or arguments.set:
            raise UsageError(
                "A run keeps the settings that it was made with.",
                where="-c" if arguments.config is not None else "--set",
                hint=f"Make a new run: so8t {arguments.command} -c FILE --set NAME=VALUE. What may "
                "change while a run works is under Control in the interface (key c).",
            )
        run = find_run(arguments.in_run, arguments.runs_dir)
        require_free(run)  # before a pause of its engine's is lifted
        want_running(run)
    elif arguments.config is not None:
        from so8t_core.contract.config import load_settings

        settings = load_settings(arguments.config, arguments.set, section=arguments.command)
        run = create_run(arguments.runs_dir, settings)
    else:
        raise UsageError(
            f"`so8t {arguments.command}` needs a run or a settings file.",
            hint=f"For example: so8t {arguments.command} --run RUN, or -c FILE",
        )
    return launch(run, arguments, only=(arguments.command,))


def train(arguments: Namespace) -> int:
    """`so8t train (-c FILE | --run RUN) [--gpus N] [--force-new-run | --estimate]`.

    A settings file always makes a new run, so only a run of one's own has anything to set aside.
    """
    if arguments.gpus is not None:
        _want_gpus(arguments)
    if arguments.estimate:
        from so8t_core.commands.estimate import print_estimate

        return print_estimate(arguments)
    if arguments.force_new_run and arguments.in_run is not None:
        from so8t_core.engine.afresh import set_aside

        run = find_run(arguments.in_run, arguments.runs_dir)
        aside = set_aside(run, "train")
        if aside is not None:
            print(f"{run.name}: the older training is kept in {aside.name}.")
    return phase(arguments)


def _want_gpus(arguments: Namespace) -> None:
    """As a setting of a new run, or as a live one of a run that is there."""
    from so8t_core.contract.settings.train import MOST_GPUS

    count: int = arguments.gpus
    if not 1 <= count <= MOST_GPUS:
        raise UsageError(f"`--gpus` must be 1 to {MOST_GPUS}.", where=f"--gpus {count}")
    if arguments.in_run is not None and arguments.estimate:
        return  # for this estimate alone
    if arguments.in_run is None:
        arguments.set = [*arguments.set, f"train.gpus={count}"]
        return
    from so8t_core.engine.several import LIVE_GPUS

    run = find_run(arguments.in_run, arguments.runs_dir)
    with ControlStore(run.control) as store:
        store.amend(lambda c: replace(c, live={**c.live, LIVE_GPUS: count}), who=this_user())


def verify(arguments: Namespace) -> int:
    """`so8t verify --model-path P`: the proof on one base model, as a table or JSON."""
    if arguments.model_path is None:
        return phase(arguments)
    from so8t_core.contract.config import load_settings

    settings = load_settings(arguments.config, arguments.set)
    from so8t_core.model.verify import verify as verify_folder

    with tempfile.TemporaryDirectory(prefix="so8t-verify-") as workspace:
        result = verify_folder(
            arguments.model_path,
            settings.model,
            settings.verify,
            seed=settings.seed,
            workspace=Path(workspace) / "copies",
        )
    if arguments.json:
        _print_json(result.as_figures())
    else:
        for check in result.checks:
            mark = "ok " if check.passed else "NO "
            print(f"{mark} {check.name:<28} {check.value:<12.4g} bound {check.bound:.3g}")
    return EXIT_FAILED if result.failed else EXIT_DONE


def integrate(arguments: Namespace) -> int:
    """`so8t integrate --model-path P --output-path Q`: gates into any Phi-3 folder."""
    if arguments.model_path is None:
        return phase(arguments)
    output = _needed(arguments, "output_path")
    from so8t_core.contract.config import load_settings

    settings = load_settings(arguments.config, arguments.set)
    from so8t_core.model.integrate import integrate as integrate_folder

    report = integrate_folder(arguments.model_path, output, settings.model)
    _print_figures(arguments, report.as_figures())
    if not report.has_tokenizer and not arguments.json:
        print("The base has no tokenizer, so the gated checkpoint has none either.")
    return EXIT_DONE


def export(arguments: Namespace) -> int:
    """`so8t export --fold-only --model-path Q --output-path F`, or `so8t export ollama`."""
    if arguments.target == "ollama":
        return export_to_ollama(arguments)
    if not arguments.fold_only:
        return phase(arguments)
    gated, output = _needed(arguments, "model_path"), _needed(arguments, "output_path")
    from so8t_core.model.fold import fold_checkpoint

    report = fold_checkpoint(
        gated, output, adapter=arguments.adapter_path, dtype=arguments.dtype, onto=arguments.onto
    )
    _print_figures(arguments, report.as_figures())
    return EXIT_DONE


def _needed(arguments: Namespace, name: str) -> Path:
    value: Path | None = getattr(arguments, name)
    if value is None:
        option = "--" + name.replace("_", "-")
        raise UsageError(
            f"`so8t {arguments.command}` needs {option} here.",
            hint=f"so8t {arguments.command} --help shows an example.",
        )
    return value


def _print_json(figures: Mapping[str, Any]) -> None:
    print(json.dumps(figures, ensure_ascii=False, indent=2))


def _print_figures(arguments: Namespace, figures: Mapping[str, Any]) -> None:
    if arguments.json:
        _print_json(figures)
        return
    for name, value in figures.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        print(f"{name.replace('_', ' '):<28} {shown}")
