"""A backend that writes what a test tells it to, token by token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.serve.audit_record import Served
from so8t_core.serve.backend import Message, Piece, Writing

CANARY = "CANARY-5f0c9b7e41d2a863-kept-inside"
ANSWER = "東京タワーの高さは 333 m です。"


def parts(task: str = "", safety: str = "", policy: str = "", final: str = ANSWER) -> str:
    """A well-formed output whose thinking holds the canary."""
    bodies = (f"{CANARY} {task}", f"{CANARY} {safety}", f"{CANARY} {policy}", final)
    return "\n".join(
        f"{part.opener}{body}{part.closer}" for part, body in zip(Part, bodies, strict=True)
    )


def tokens(output: str | bytes, size: int = 3) -> list[Piece]:
    """The output as tokens of so many bytes."""
    data = output.encode() if isinstance(output, str) else output
    return [Piece(data[at : at + size]) for at in range(0, len(data), size)]


@dataclass
class Script:
    """What the model writes; `ended` by itself, or at the limit; `error` comes instead of an end."""

    pieces: list[Piece]
    ended: bool = True
    error: BaseException | None = None


Say = Callable[[Sequence[Message]], Script | str | bytes]


@dataclass
class ScriptedBackend:
    """Answers each prompt with what `say` makes of its messages.

    While `held` is set it writes nothing; `steps` counts tokens.
    """

    say: Say = lambda messages: parts()
    max_batch: int = 4
    context_tokens: int = 4096
    tags_are_tokens: bool = False
    piece_bytes: int = 3
    served: Served = field(default_factory=lambda: Served("a" * 64, "b" * 64, "c" * 64))

    def __post_init__(self) -> None:
        self.held = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.asked: list[list[Message]] = []
        self.steps = 0
        self.batches: list[int] = []

    def hold(self) -> None:
        self.go.clear()

    def release(self) -> None:
        self.go.set()

    def encode(self, messages: Sequence[Message]) -> list[int]:
        self.asked.append(list(messages))
        return [len(self.asked) - 1]

    def renders(self, messages: Sequence[Message]) -> str:
        return "\n".join(message.content for message in messages)

    def count(self, text: str) -> int:
        return len(text)

    def spell(self, text: str) -> list[Piece]:
        return tokens(text, self.piece_bytes)

    def write(self, batch: Sequence[Writing]) -> None:
        self.batches.append(len(batch))
        failures = [self._write(writing) for writing in batch]
        for failure in failures:
            if failure is not None:
                raise failure

    def _write(self, writing: Writing) -> BaseException | None:
        said = self.say(self.asked[writing.ids[0]])
        script = said if isinstance(said, Script) else Script(tokens(said, self.piece_bytes))
        for number, piece in enumerate(script.pieces):
            while not self.go.wait(0.01) and writing.wanted:
                pass
            if not writing.wanted:
                writing.end(ended=False)
                return None
            if number >= writing.sampling.max_new_tokens:
                writing.end(ended=False)
                return None
            self.steps += 1
            writing.take(piece)
        if script.error is not None:
            return script.error
        writing.end(ended=script.ended)
        return None

    def close(self) -> None:
        """Nothing to free."""


def as_tokens(output: str) -> Iterable[Piece]:
    """The output with each exact tag as a token of its own."""
    from so8t_core.serve.tags import EXACT_TAG

    at = 0
    for found in EXACT_TAG.finditer(output):
        yield from tokens(output[at : found.start()])
        yield Piece(tag=found.group())
        at = found.end()
    yield from tokens(output[at:])


assert all(tag in parts() for tag in SEQUENCE)
