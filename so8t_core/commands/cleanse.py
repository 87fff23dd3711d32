"""Looking into a cleansing, and building its safety classifier."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from so8t_core.contract.config import load_settings
from so8t_core.contract.errors import EXIT_DONE, RunNotFound, UsageError
from so8t_core.contract.plain import plain_text
from so8t_core.contract.runs import find_run

_SHOWN_CHARACTERS = 1200


def why(arguments: Namespace) -> int:
    """`so8t cleanse why URL|ID`: what became of a page."""
    from so8t_core.cleanse.inspect import why as look_up

    run = find_run(arguments.in_run, arguments.runs_dir)
    fate = look_up(run.phase("cleanse"), arguments.page)
    if fate is None:
        raise RunNotFound(
            "This run knows no page of that URL or id.",
            where=plain_text(arguments.page),
            hint="Give the URL as it stands in the crawl's index, or an id of the ledger.",
        )
    if arguments.json:
        print(json.dumps(fate.as_json(), indent=2, ensure_ascii=False))
        return EXIT_DONE
    print(f"{plain_text(fate.id)}  {plain_text(fate.url)}")
    for where, count in fate.rows.items():
        print(f"  kept      {count} in {where}")
    if not fate.rows:
        print("  kept      nothing")
    for entry in fate.ledger:
        print(f"  {entry.step:<16}{entry.reason:<24}{plain_text(entry.detail)}")
    return EXIT_DONE


def sample(arguments: Namespace) -> int:
    """`so8t cleanse sample --reason X`: examples before and after, read from the crawl now."""
    from so8t_core.cleanse.inspect import reasons
    from so8t_core.cleanse.inspect import sample as choose

    run = find_run(arguments.in_run, arguments.runs_dir)
    cleanse = run.phase("cleanse")
    known = reasons(cleanse)
    if arguments.reason not in known:
        shown = ", ".join(f"{name} {count}" for name, count in known.items())
        raise UsageError(
            f"No entry of the ledger has the reason {plain_text(str(arguments.reason))!r}.",
            where="--reason",
            hint=f"There are: {shown or 'none'}",
        )
    settings = load_settings(run.settings_file).cleanse
    examples = choose(
        run.phase("crawl"), cleanse, arguments.reason, arguments.count, arguments.seed, settings
    )
    if arguments.json:
        rows = [
            {**one.entry.model_dump(), "before": one.before, "after": one.after} for one in examples
        ]
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return EXIT_DONE
    _print_examples(examples)
    return EXIT_DONE


def _print_examples(examples: list[Any]) -> None:
    """A table of two columns for each example."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for one in examples:
        entry = one.entry
        title = f"{entry.step}: {entry.reason} {entry.detail}  {entry.url}"
        table = Table(title=Text(plain_text(title)), expand=True, title_justify="left")
        table.add_column("before", ratio=1)
        table.add_column("after", ratio=1)
        table.add_row(*(Text(_lines(text)) for text in (one.before, one.after)))
        console.print(table)


def _lines(text: str) -> str:
    cut = text[:_SHOWN_CHARACTERS]
    return "\n".join(map(plain_text, cut.split("\n"))) + ("…" if len(text) > len(cut) else "")


def train_classifier(arguments: Namespace) -> int:
    """`so8t cleanse train-classifier --data FILE --output DIR`."""
    from pydantic import ValidationError

    from so8t_core.cleanse.classifier import PURPOSE
    from so8t_core.cleanse.classifier_training import read_labelled, train
    from so8t_core.contract.settings.cleanse import ClassifierSettings

    try:
        settings = ClassifierSettings(seed=arguments.seed, epochs=arguments.epochs)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(str(first["msg"]), where=f"--{first['loc'][0]}") from error
    texts = [text for path in arguments.data for text in read_labelled(Path(path))]
    classifier, metrics = train(texts, settings)
    classifier.save(arguments.output, metrics)
    if arguments.json:
        print(json.dumps(metrics, indent=2))
        return EXIT_DONE
    print(f"{arguments.output}: {PURPOSE}")
    print(f"{'class':<16}{'texts':>6}{'precision':>20}{'recall':>20}{'calibration error':>24}")
    for name, row in metrics["classes"].items():
        cells = [
            f"{row[key]:.3f} ({row[f'{key}_interval'][0]:.3f}-{row[f'{key}_interval'][1]:.3f})"
            for key in ("precision", "recall", "calibration_error")
        ]
        print(f"{name:<16}{row['texts']:>6}{cells[0]:>20}{cells[1]:>20}{cells[2]:>24}")
    return EXIT_DONE
