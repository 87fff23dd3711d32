"""Which items of a benchmark are scored, after which examples, and as which harness task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import DataError, InputMissing
from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.contract.settings.tasks import TaskName, TaskSettings
from so8t_core.evaluation.task_rows import Row, read_rows

_HARNESS = "lm_eval"

Scores = dict[str, dict[str, float]]
"""By item id: metric and value."""


@dataclass(frozen=True)
class Texts:
    """How text becomes tokens, the same for every side.

    `encode` gives no control token for text from outside; `start` stands before every text.
    """

    start: int
    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class TaskItems:
    """The rows of one task; `examples` come before every one of `scored` and share no cluster."""

    name: TaskName
    examples: tuple[Row, ...]
    scored: tuple[Row, ...]
    max_new_tokens: int

    @property
    def digest(self) -> str:
        """Identity of what is asked."""
        return sha256_text(canonical_json([self.name, list(self.examples), list(self.scored)]))


def choose_task_items(settings: TaskSettings, seed: int) -> TaskItems:
    """The same rows for the same seed: those with the smallest seeded hash of their id.

    Raises as `read_rows`, and `DataError` where examples or items are too few.
    """
    rows = _ordered(read_rows(settings.name, settings.data), seed)
    pool = rows
    if settings.examples is not None:
        pool = _ordered(read_rows(settings.name, settings.examples), seed)
    examples = _of_different_clusters(pool, settings.shots)
    taken = {str(row["cluster"]) for row in examples}
    scored = [row for row in rows if str(row["cluster"]) not in taken]
    if len(examples) < settings.shots or not scored:
        raise DataError(
            f"{len(rows)} rows of {settings.name} are too few for {settings.shots} examples.",
            where=settings.data,
            hint="Lower shots, or name a file of examples.",
        )
    return TaskItems(
        settings.name,
        tuple(examples),
        tuple(scored[: settings.max_items]),
        settings.max_new_tokens,
    )


def _ordered(rows: Sequence[Row], seed: int) -> list[Row]:
    return sorted(rows, key=lambda row: sha256_text(f"{seed}:{row['id']}"))


def _of_different_clusters(rows: Sequence[Row], count: int) -> list[Row]:
    found: dict[str, Row] = {}
    for row in rows:
        if len(found) == count:
            break
        found.setdefault(str(row["cluster"]), row)
    return list(found.values())


def require_harness() -> None:
    """Raise `InputMissing` where lm-evaluation-harness is not installed."""
    if find_spec(_HARNESS) is None:
        raise InputMissing(
            "evaluate.tasks needs lm-evaluation-harness, which is not installed.",
            where="package lm_eval",
            hint="Run `pip install 'so8t[evaluation]'`, or set evaluate.tasks to an empty list.",
        )


def definition(name: TaskName) -> Path:
    """The harness's YAML file of a task: from the source tree, or from the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "configs", package / "configs"):
        if (folder / "evaluation" / f"{name}.yaml").is_file():
            return folder / "evaluation" / f"{name}.yaml"
    raise InputMissing(
        f"The definition of the task {name} is missing from this installation.",
        where=str(package),
        hint="Install so8t again.",
    )


def harness_task(items: TaskItems) -> Any:
    """The task as lm-evaluation-harness runs it, over exactly these rows."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    splits = {
        "test": Dataset.from_list(list(items.scored)),
        "fewshot": Dataset.from_list(list(items.examples or items.scored[:1])),
    }
    config = {
        **load_yaml(definition(items.name)),
        "num_fewshot": len(items.examples),
        "custom_dataset": lambda **_: splits,
    }
    if "generation_kwargs" in config:
        config["generation_kwargs"] = {
            **config["generation_kwargs"],
            "max_gen_toks": items.max_new_tokens,
        }
    with quiet_harness():
        return ConfigurableTask(config=config)


@contextmanager
def quiet_harness() -> Iterator[None]:
    """Without the harness's warnings about what we do on purpose; the former level comes back."""
    logger = logging.getLogger(_HARNESS)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
