"""`so8t export ollama`: the exported model of a run into Ollama."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from dataclasses import asdict

from so8t_core.contract.errors import EXIT_DONE, InputMissing
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.runs import find_run, run_settings

_DEFAULT_HOST = "http://127.0.0.1:11434"


def export_to_ollama(arguments: Namespace) -> int:
    """Publish the newest run's export, or that of `--run`, under `--name`."""
    from so8t_core.export.ollama import Publishing, Recipe, checked_name, publish, quantisable

    run = find_run(arguments.in_run, arguments.runs_dir)
    folder = run.phase("export")
    manifest = Manifest.read(folder)
    if manifest is None:
        raise InputMissing(
            "This run has exported nothing yet.",
            where=str(folder),
            hint=f"Run `so8t resume {run.name}` first.",
        )
    recipe = Recipe.read(folder)
    plan = Publishing(
        folder=folder,
        recipe=quantisable(recipe, manifest) if arguments.quantize else recipe,
        name=checked_name(arguments.name or run_settings(run).export.name),
        host=arguments.host or os.environ.get("OLLAMA_HOST") or _DEFAULT_HOST,
        quantize=arguments.quantize,
        tell=lambda step: print(step, file=sys.stderr if arguments.json else sys.stdout),
    )
    published = publish(plan, manifest)
    if arguments.json:
        print(json.dumps(asdict(published), ensure_ascii=False, indent=2))
        return EXIT_DONE
    print(f"{published.name} is in Ollama {published.version}. It says: {published.answer}")
    print("Ollama shows thinking tags to whoever asks; `so8t serve` does not.")
    return EXIT_DONE
