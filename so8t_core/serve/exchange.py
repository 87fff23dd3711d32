"""What comes in and what may go out, whatever carries it."""

from __future__ import annotations

from dataclasses import dataclass

from so8t_core.contract.labels import SafetyLabel
from so8t_core.serve.backend import Message, Sampling
from so8t_core.serve.door import Domain
from so8t_core.serve.logs import Ident


@dataclass(frozen=True, repr=False)
class Asked:
    """A request as it came, checked for its form."""

    route: str
    key_id: Ident
    messages: tuple[Message, ...]
    sampling: Sampling

    @property
    def texts(self) -> list[str]:
        """What the caller wrote."""
        return [message.content for message in self.messages]


@dataclass(frozen=True, repr=False)
class Answer:
    """All that may leave. `finish`: stop, length or content_filter.

    `confidence`, `plausibility` and `self_confidence` are None where nothing states them; the last
    two have one decimal, so that they tell little of what was thought. `domain` is that of the
    question alone, None where it was found to be of none.
    """

    id: Ident
    text: str
    label: SafetyLabel
    confidence: float | None
    finish: str
    asked_tokens: int
    answer_tokens: int
    domain: Domain | None = None
    plausibility: float | None = None
    self_confidence: float | None = None
