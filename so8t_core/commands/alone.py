"""One phase by itself, in a run; where model folders are named, `model_folders` does the work."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace

from so8t_core.commands.ollama import export_to_ollama
from so8t_core.commands.steer import launch, require_free, want_running
from so8t_core.contract.control import ControlStore, this_user
from so8t_core.contract.errors import UsageError
from so8t_core.contract.rundir import RunDir
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
        run = _run_of(arguments)
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


def _run_of(arguments: Namespace) -> RunDir:
    """The run that is named, free, its settings changed where that is asked for and may be."""
    if arguments.config is not None:
        raise UsageError(
            "A run keeps the settings that it was made with.",
            where="-c",
            hint=f"Make a new run: so8t {arguments.command} -c FILE --set NAME=VALUE. What may "
            "change while a run works is under Control in the interface (key c), and some settings "
            "can be changed by --set between its starts.",
        )
    run = find_run(arguments.in_run, arguments.runs_dir)
    require_free(run)  # before a pause of its engine's is lifted
    if arguments.set:
        from so8t_core.engine.changed_settings import change_settings

        change_settings(run, arguments.set)
    return run


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

        run = _run_of(arguments)
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
    """`so8t verify`, as a phase, or with `--model-path` on a folder."""
    if arguments.model_path is None:
        return phase(arguments)
    from so8t_core.commands.model_folders import verify_folder

    return verify_folder(arguments)


def integrate(arguments: Namespace) -> int:
    """`so8t integrate`, as a phase, or with `--model-path` on a folder."""
    if arguments.model_path is None:
        _refuse_folders(arguments, ("output_path",), "--model-path")
        return phase(arguments)
    from so8t_core.commands.model_folders import integrate_folder

    return integrate_folder(arguments)


def export(arguments: Namespace) -> int:
    """`so8t export`, as a phase, with `--fold-only` on folders, or `so8t export ollama`."""
    if arguments.target == "ollama":
        return export_to_ollama(arguments)
    if not arguments.fold_only:
        folders = ("model_path", "output_path", "adapter_path", "dtype", "onto", "no_proof")
        _refuse_folders(arguments, folders, "--fold-only")
        return phase(arguments)
    from so8t_core.commands.model_folders import fold_folder

    return fold_folder(arguments)


def _refuse_folders(arguments: Namespace, names: tuple[str, ...], needed: str) -> None:
    """Raise `UsageError` for an option that means something beside `needed` alone."""
    for name in names:
        if getattr(arguments, name):
            raise UsageError(
                f"This option goes with {needed}.",
                where=option_of(name),
                hint=f"Add {needed}, or leave it out: a phase takes its folders from its run.",
            )


def option_of(name: str) -> str:
    """How an argument of the command line is spelled."""
    return "--run" if name == "in_run" else "--" + name.replace("_", "-")
