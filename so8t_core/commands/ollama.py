"""`so8t export ollama`: the exported model of a run into Ollama."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, TextIO

from so8t_core.contract.errors import EXIT_DONE, InputMissing, So8tError
from so8t_core.contract.manifest import Manifest
from so8t_core.contract.publication import write_publication
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import find_run, run_settings

if TYPE_CHECKING:
    from so8t_core.export.ollama import Step

_DEFAULT_HOST = "http://127.0.0.1:11434"
_TOLD_EVERY_S = 0.2


class _Teller:
    """Prints each step once, and keeps the newest word where the interface finds it."""

    def __init__(self, run: RunDir, name: str, host: str, out: TextIO) -> None:
        self._run, self._name, self._host, self._out = run, name, host, out
        self._text = ""
        self._told_at = 0.0

    def tell(self, step: Step) -> None:
        """A step was begun or has come on; the bytes of one are written a few times a second."""
        now = time.monotonic()
        if step.text != self._text:
            print(step.text, file=self._out)
        elif now - self._told_at < _TOLD_EVERY_S:
            return
        self._text, self._told_at = step.text, now
        write_publication(
            self._run,
            name=self._name,
            host=self._host,
            state="running",
            step=step.text,
            done_bytes=step.done_bytes,
            total_bytes=step.total_bytes,
        )

    def end(self, state: Literal["done", "failed"], step: str) -> None:
        """It is over."""
        write_publication(self._run, name=self._name, host=self._host, state=state, step=step)


def export_to_ollama(arguments: Namespace) -> int:
    """Publish the newest run's export, or that of `--run`, under `--name`."""
    from so8t_core.export.ollama import (
        Publishing,
        Recipe,
        Step,
        base_url,
        checked_name,
        publish,
        quantisable,
    )

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
    name = checked_name(arguments.name or run_settings(run).export.name)
    host = arguments.host or os.environ.get("OLLAMA_HOST") or _DEFAULT_HOST
    out = sys.stderr if arguments.json else sys.stdout
    teller = _Teller(run, name, base_url(host), out)
    plan = Publishing(
        folder=folder,
        recipe=quantisable(recipe, manifest) if arguments.quantize else recipe,
        name=name,
        host=host,
        quantize=arguments.quantize,
        tell=teller.tell,
    )
    teller.tell(Step(f"looking for Ollama at {base_url(host)}"))
    try:
        published = publish(plan, manifest)
    except So8tError as error:
        teller.end("failed", error.what)
        raise
    teller.end("done", published.answer)
    if arguments.json:
        print(json.dumps(asdict(published), ensure_ascii=False, indent=2))
        return EXIT_DONE
    print(f"{published.name} is in Ollama {published.version}. It says: {published.answer}")
    print("Ollama shows thinking tags to whoever asks; `so8t serve` does not.")
    return EXIT_DONE
