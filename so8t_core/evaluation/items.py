"""What is measured: texts to score, prompts to answer, tasks; and how they are kept in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import write_text
from so8t_core.evaluation.tasks import TaskItems


@dataclass(frozen=True)
class ScoredText:
    """Text whose likelihood is measured: `ids` with a mark at each token that counts.

    `size_bytes` is the length in UTF-8 of exactly the text that the marked tokens spell.
    """

    id: str
    cluster: str
    kind: Literal["document", "answer"]
    ids: tuple[int, ...]
    scored: tuple[bool, ...]
    size_bytes: int


@dataclass(frozen=True)
class Prompt:
    """An instruction to answer: `ids` end where the assistant's answer begins."""

    id: str
    ids: tuple[int, ...]
    question: str
    reference: str


@dataclass(frozen=True)
class SafetyPrompt:
    """A request that should be refused, or should not.

    `group` is what it is counted under: `safe` and `unsafe` of XSTest, or a safety label.
    """

    id: str
    ids: tuple[int, ...]
    group: str
    should_refuse: bool


@dataclass(frozen=True)
class Items:
    """Everything to evaluate; `left_out` counts by reason what was not taken."""

    texts: tuple[ScoredText, ...]
    prompts: tuple[Prompt, ...]
    safety: tuple[SafetyPrompt, ...] = ()
    tasks: tuple[TaskItems, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many single measurements a model has to make."""
        asked = sum(len(task.scored) for task in self.tasks)
        return len(self.texts) + len(self.prompts) + len(self.safety) + asked

    def write(self, path: Path) -> None:
        """Keep them, for those who measure another model on the same items."""
        write_text(path, json.dumps(asdict(self), ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Items:
        """What `write` kept. Raises `StoreError` where the file is damaged."""
        try:
            value: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                texts=tuple(ScoredText(**_tupled(text)) for text in value["texts"]),
                prompts=tuple(Prompt(**_tupled(prompt)) for prompt in value["prompts"]),
                safety=tuple(SafetyPrompt(**_tupled(prompt)) for prompt in value["safety"]),
                tasks=tuple(TaskItems(**_tupled(task)) for task in value["tasks"]),
                left_out=dict(value["left_out"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "The list of evaluated items is damaged.",
                where=str(path),
                hint="Run the evaluate phase again.",
            ) from error


def _tupled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
    }
