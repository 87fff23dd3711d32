"""Answers in the making, and the one thread in which the model writes them."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from so8t_core.contract.errors import ModelPanic, RequestRefused
from so8t_core.contract.thinking import Part
from so8t_core.serve.backend import Backend, Piece, Sampling
from so8t_core.serve.panics import contained
from so8t_core.serve.problems import Code
from so8t_core.serve.think import ParseStatus, ThinkParser, Thought


@dataclass(frozen=True, repr=False)
class Written:
    """What the model wrote. `output` is all of it, for the audit alone.

    `plausibility`: geometric mean of the probabilities of the answer's tokens. `confidence`: share
    of them that were the model's first choice. Both None for no answer.
    """

    thought: Thought
    output: bytes
    plausibility: float | None
    confidence: float | None


class Draft:
    """One answer in the making: filled in the backend's thread, awaited in the event loop."""

    def __init__(self, ids: Sequence[int], sampling: Sampling, *, tags_are_tokens: bool) -> None:
        self.ids = ids
        self.sampling = sampling
        self.done: Future[Written] = Future()
        self._parser = ThinkParser(tags_are_tokens=tags_are_tokens)
        self._output: list[bytes] = []
        self._log_probabilities: list[float] = []
        self._first_choices = 0
        self._hopeless = False
        self._abandoned = False

    @property
    def wanted(self) -> bool:
        """False when the caller is gone or the output can't become well-formed any more."""
        return not self._abandoned and not self._hopeless

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self._abandoned = True

    def so_far(self) -> bytes:
        """What has been written up to now."""
        return b"".join(list(self._output))

    def take(self, piece: Piece) -> None:
        if self._hopeless:
            return
        try:
            self._take(piece)
        except Exception as error:  # noqa: BLE001 - it must not end the others of its batch
            self.fail(error)

    def _take(self, piece: Piece) -> None:
        if self._parser.inside is Part.FINAL and piece.tag is None and piece.data:
            self._log_probabilities.append(math.log(max(piece.probability, 1e-30)))
            self._first_choices += piece.likeliest
        if piece.control:
            self._hopeless = not self._parser.fail(ParseStatus.CONTROL_TOKEN)
        elif piece.tag is not None:
            self._output.append(piece.tag.encode())
            self._hopeless = not self._parser.feed_tag(piece.tag)
        else:
            self._output.append(piece.data)
            self._hopeless = not self._parser.feed(piece.data)

    def end(self, *, ended: bool) -> None:
        if self.done.done():
            return
        try:
            written = self._written(ended=ended)
        except Exception as error:  # noqa: BLE001 - it must not end the others of its batch
            self.fail(error)
        else:
            self.done.set_result(written)

    def fail(self, error: Exception) -> None:
        self._hopeless = True
        if not self.done.done():
            self.done.set_exception(error)

    def _written(self, *, ended: bool) -> Written:
        thought = self._parser.finish(ended=ended)
        count = len(self._log_probabilities)
        return Written(
            thought,
            self.so_far(),
            math.exp(sum(self._log_probabilities) / count) if count else None,
            self._first_choices / count if count else None,
        )


class Desk:
    """Keeps the waiting drafts and has the backend write them, as many at once as it can.

    At most `max_batch` are being written and `max_waiting` wait; `enter` says so before any work
    is done for one more. A panic below Python fails its batch; the thread goes on.
    """

    def __init__(self, backend: Backend, *, max_waiting: int) -> None:
        self._backend = backend
        self._room = max_waiting + backend.max_batch
        self._inside = 0
        self._condition = threading.Condition()
        self._waiting: list[Draft] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def inside(self) -> int:
        """Requests that have a place."""
        return self._inside

    @property
    def alive(self) -> bool:
        """Whether anything can still be written."""
        return self._thread.is_alive()

    def enter(self) -> None:
        """Take a place. Raises `RequestRefused` where there is none."""
        self.check_room()
        self._inside += 1

    def check_room(self) -> None:
        """Raise `RequestRefused` where there is no place at present."""
        if not self.alive:
            raise RequestRefused(Code.STOPPING, retry_after_s=5.0)
        if self._inside >= self._room:
            raise RequestRefused(Code.BUSY, retry_after_s=1.0)

    def leave(self) -> None:
        """Give the place back."""
        self._inside -= 1

    async def write(self, draft: Draft) -> Written:
        """Have a draft written. Whatever the backend raises comes out here."""
        with self._condition:
            if self._closing or not self.alive:
                raise RequestRefused(Code.STOPPING, retry_after_s=5.0)
            self._waiting.append(draft)
            self._condition.notify()
        try:
            return await asyncio.wrap_future(draft.done)
        except asyncio.CancelledError:
            self._drop(draft)
            raise

    def close(self) -> None:
        """End the thread; what still waits is abandoned."""
        with self._condition:
            self._closing = True
            for draft in self._waiting:
                draft.abandon()
            self._condition.notify()
        self._thread.join()

    def _drop(self, draft: Draft) -> None:
        draft.abandon()
        with self._condition:
            if draft in self._waiting:
                self._waiting.remove(draft)

    def _run(self) -> None:
        try:
            while batch := self._next_batch():
                self._write([draft for draft in batch if draft.wanted])
        finally:
            with self._condition:
                self._closing = True
                left, self._waiting = self._waiting, []
            for draft in left:
                if draft.done.set_running_or_notify_cancel():
                    draft.fail(ModelPanic("The model's thread has ended.", hint="Start it again."))

    def _next_batch(self) -> list[Draft]:
        """The drafts to be written next; none when the desk is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closing)
            batch = self._waiting[: self._backend.max_batch]
            del self._waiting[: len(batch)]
        return batch

    def _write(self, batch: list[Draft]) -> None:
        started = [draft for draft in batch if draft.done.set_running_or_notify_cancel()]
        if not started:
            return
        try:
            contained(lambda: self._backend.write(started))
        except Exception as error:  # noqa: BLE001 - the model's border: each caller gets it
            for draft in started:
                draft.fail(error)
