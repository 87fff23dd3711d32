"""What breaks off in compiled code below Python, as an error that the rest of the server knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from so8t_core.contract.errors import ModelPanic

T = TypeVar("T")
MOST_PANICS = 3
"""So many in a row, with no output read between them, and the model is given up."""


def contained(work: Callable[[], T]) -> T:
    """The result of `work`. Raises `ModelPanic` for what is no `Exception`, as a panic of Rust.

    Not for the main thread, where KeyboardInterrupt and SystemExit have a meaning.
    """
    try:
        return work()
    except Exception:
        raise
    except BaseException as error:
        raise ModelPanic(
            "The model's code broke off below Python.",
            where=type(error).__name__,
            hint="The server's log says where; it ends when this goes on.",
        ) from error


class PanicCount:
    """Counts panics in a row; one that failed several requests is one."""

    def __init__(self) -> None:
        self._newest: ModelPanic | None = None
        self._count = 0

    @property
    def too_many(self) -> bool:
        """Whether there is no hope that it was the fault of a single request."""
        return self._count >= MOST_PANICS

    def add(self, error: Exception) -> None:
        """A request failed by this error."""
        if isinstance(error, ModelPanic) and error is not self._newest:
            self._newest = error
            self._count += 1

    def reset(self) -> None:
        """A request was written and read."""
        self._count = 0
