"""What a backend is to the server: it writes prompts as tokens and gives back pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from so8t_core.contract.errors import ModelError
from so8t_core.serve.audit_record import Served

LIKELY = 1e-7
"""Tokens that are less likely than this share of the likeliest one are never drawn."""


@dataclass(frozen=True, repr=False)
class Message:
    """One turn; whatever its content says, it never becomes a control token."""

    role: str
    content: str


@dataclass(frozen=True)
class Sampling:
    """How to choose tokens. `temperature` 0 takes the likeliest."""

    max_new_tokens: int
    temperature: float
    top_p: float


@dataclass(frozen=True, repr=False)
class Piece:
    """What one token stands for: bytes (perhaps a part of a character), a tag, or a control token.

    `probability` is what the model gave the token, `likeliest` whether it gave none more.
    """

    data: bytes = b""
    tag: str | None = None
    control: bool = False
    probability: float = 1.0
    likeliest: bool = True


class Writing(Protocol):
    """One answer in the making, as a backend sees it. Called from the backend's thread alone."""

    @property
    def ids(self) -> Sequence[int]:
        """The prompt."""

    @property
    def sampling(self) -> Sampling:
        """How to choose tokens."""

    @property
    def wanted(self) -> bool:
        """False when nobody waits for it any more, or nothing can come of it."""

    def take(self, piece: Piece) -> None:
        """Hand over what one token stands for."""

    def end(self, *, ended: bool) -> None:
        """Nothing follows. `ended`: by the model itself, not by the limit of tokens."""

    def fail(self, error: Exception) -> None:
        """Nothing follows, since writing this one failed; the others of its batch go on."""


class Backend(Protocol):
    """A loaded model. All methods but the properties may take long and are called in a thread."""

    @property
    def served(self) -> Served:
        """Digests of what is served."""

    @property
    def max_batch(self) -> int:
        """How many answers it writes at once."""

    @property
    def context_tokens(self) -> int:
        """Longest prompt and answer together."""

    @property
    def tags_are_tokens(self) -> bool:
        """Whether each thinking tag is a token of its own."""

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The prompt up to where the answer begins. Raises `DataError` for a refused order."""

    def count(self, text: str) -> int:
        """How many tokens a text is."""

    def spell(self, text: str) -> list[Piece]:
        """The text as pieces, by the very path of generated tokens; for the test at the start."""

    def renders(self, messages: Sequence[Message]) -> str:
        """The text of a finished conversation by the chat template, for the test at the start."""

    def write(self, batch: Sequence[Writing]) -> None:
        """Write all answers of the batch, `max_batch` at most; returns when each has ended.

        What goes wrong with one of them alone fails that one; what is raised fails all.
        """

    def close(self) -> None:
        """Free the model."""


@dataclass(frozen=True)
class Drawn:
    """A token with its probability before temperature and top-p."""

    token: int
    probability: float
    likeliest: bool


def draw(logits: npt.NDArray[np.float32], sampling: Sampling, random: np.random.Generator) -> Drawn:
    """Choose a token from logits, (vocabulary,): temperature first, then top-p (nucleus).

    Raises `ModelError` for logits that are no numbers.
    """
    largest = logits.max()
    if not math.isfinite(largest):
        raise ModelError(
            "The model is broken: what it computes is infinite or not a number.",
            hint="Look at the training's loss; serve another model.",
        )
    shifted = logits - largest
    best = int(logits.argmax())
    total = float(np.exp(shifted).sum(dtype=np.float64))
    if sampling.temperature == 0:
        return Drawn(best, 1 / total, likeliest=True)
    near = np.flatnonzero(shifted >= math.log(LIKELY) * max(sampling.temperature, 1.0))
    with np.errstate(over="ignore"):  # of a temperature near zero
        weights = np.exp(shifted[near].astype(np.float64) / sampling.temperature)
    order = np.argsort(-weights, kind="stable")
    shares = np.cumsum(weights[order]) / weights.sum()
    kept = order[: int(np.searchsorted(shares, sampling.top_p)) + 1]
    chosen = random.choice(kept, p=weights[kept] / weights[kept].sum())
    token = int(near[chosen])
    return Drawn(token, math.exp(float(shifted[token])) / total, likeliest=token == best)
