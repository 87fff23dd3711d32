"""One request from question to answer: judged, written, parsed, judged again, audited, released."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from so8t_core.contract.errors import AuditError, DataError, RequestRefused
from so8t_core.contract.labels import SafetyLabel, strictest
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.audit_record import Entry, Outcome
from so8t_core.serve.backend import Backend, Message
from so8t_core.serve.door import Door, Judge, Judged
from so8t_core.serve.drafts import Desk, Draft, Written
from so8t_core.serve.exchange import Answer, Asked
from so8t_core.serve.logs import Event, new_id, say
from so8t_core.serve.metrics import Metrics, Place
from so8t_core.serve.overlap import quotes
from so8t_core.serve.panics import PanicCount, contained
from so8t_core.serve.problems import Code
from so8t_core.serve.refusals import refusal_text
from so8t_core.serve.release import clean
from so8t_core.serve.tags import neutralise
from so8t_core.serve.think import CUT, WELL_FORMED
from so8t_core.serve.work import Settled, Work

T = TypeVar("T")


class Service:
    """Serves requests; independent of how they arrive. Its methods belong to one event loop."""

    def __init__(
        self,
        settings: ServeSettings,
        backend: Backend,
        audit: AuditLog,
        metrics: Metrics,
        judge: Judge,
    ) -> None:
        self._settings = settings
        self._backend = backend
        self._audit = audit
        self._metrics = metrics
        self._door = Door(judge, settings.safety.min_confidence)
        self._desk = Desk(backend, max_waiting=settings.limits.max_waiting)
        # one thread: tokenizers keep state while they work
        self._texts = ThreadPoolExecutor(1, thread_name_prefix="texts")
        self._late: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._panics = PanicCount()

    @property
    def ready(self) -> bool:
        """Whether a request has a chance of being answered."""
        return not self._stopping and self._audit.healthy and not self.lost

    @property
    def lost(self) -> bool:
        """Whether the model is given up: its thread has ended, or it broke off again and again."""
        return self._panics.too_many or not self._desk.alive

    @property
    def inside(self) -> int:
        """Requests that have a place."""
        return self._desk.inside

    def stop(self) -> None:
        """Take no new requests."""
        self._stopping = True

    async def close(self) -> None:
        """Wait for what is being written; the caller has ended all requests before."""
        while self._late:
            await asyncio.gather(*self._late)
        await asyncio.to_thread(self._desk.close)
        self._texts.shutdown()

    def check_room(self) -> None:
        """Raise `RequestRefused` where a request would get no place at present."""
        if self._stopping or self.lost:
            raise RequestRefused(Code.STOPPING, retry_after_s=5.0)
        self._desk.check_room()

    def turn_away(self, code: Code) -> None:
        """Count a request that got nowhere."""
        self._metrics.turned_away(code)
        self._audit.turn_away(code.value)

    async def answer(self, asked: Asked) -> Answer:
        """The answer to a request, once its record is durable.

        Raises `RequestRefused` for every reason why there is none. Cancelling it frees its place,
        ends its generation and leaves a record too.
        """
        if self._stopping or self.lost:
            raise RequestRefused(Code.STOPPING, retry_after_s=5.0)
        self._desk.enter()
        work = Work(new_id(), asked, started_s=asyncio.get_running_loop().time())
        try:
            settled = await self._settle(work)
            await self._record(work, settled)
            await self._until_release(work)
        except asyncio.CancelledError:
            self._abort(work)
            raise
        finally:
            self._desk.leave()
            self._metrics.inside(self._desk.inside)
        if settled.answer is None:
            assert settled.code is not None
            raise RequestRefused(settled.code, request_id=work.id)
        return settled.answer

    async def _settle(self, work: Work) -> Settled:
        self._metrics.inside(self._desk.inside)
        try:
            async with asyncio.timeout(self._settings.limits.answer_timeout_s):
                return await self._make(work)
        except TimeoutError:
            return work.without_answer(Outcome.TIMED_OUT, Code.TIMED_OUT)
        except DataError:
            raise RequestRefused(Code.UNSUPPORTED, field="messages") from None
        except RequestRefused:
            raise
        except Exception as error:  # noqa: BLE001 - the caller's border: an id, never its words
            say(Event.FAILED, id=work.id, error=error)
            self._panics.add(error)
            return work.without_answer(Outcome.FAILED, Code.NO_ANSWER)

    async def _make(self, work: Work) -> Settled:
        asked = work.asked
        judged = await self._in_texts(lambda: self._door.label(asked.texts))
        work.label, work.domain = judged.label, judged.domain
        self._metrics.label(Place.DOOR, judged.label)
        if judged.label is not SafetyLabel.ALLOW:
            return await self._in_texts(lambda: self._refused(work, judged, None))
        ids = await self._in_texts(lambda: self._prompt(asked))
        work.draft = Draft(ids, asked.sampling, tags_are_tokens=self._backend.tags_are_tokens)
        written = await self._desk.write(work.draft)
        settled = await self._in_texts(lambda: self._read(work, judged, written))
        self._panics.reset()
        return settled

    def _prompt(self, asked: Asked) -> list[int]:
        """Neutralised: replayed thinking and forged turns are mere text in a prompt."""
        messages = [Message(m.role, neutralise(m.content)) for m in asked.messages]
        instructions = self._settings.instructions
        if instructions is not None:
            own = [message.content for message in messages if message.role == "system"]
            others = [message for message in messages if message.role != "system"]
            messages = [Message("system", "\n\n".join([instructions, *own])), *others]
        ids = self._backend.encode(messages)
        if len(ids) >= self._backend.context_tokens:
            raise RequestRefused(Code.TOO_LARGE, field="messages")
        return ids

    def _read(self, work: Work, door: Judged, written: Written) -> Settled:
        """Decide what of the model's output leaves. Everything that is unclear does not."""
        thought = written.thought
        self._metrics.parsed(thought.status)
        if thought.status not in WELL_FORMED:
            return work.withheld(written)
        text = clean(thought.final)
        finish = "length" if thought.status in CUT else "stop"
        if not text and finish == "stop":
            return work.withheld(written)
        limit = self._settings.safety.max_quoted_characters
        if quotes(text, thought.thinking, work.asked.texts, run=limit):
            return work.withheld(written)
        out = self._door.label([text]) if text else door
        self._metrics.label(Place.OUT, out.label)
        if out.label is not SafetyLabel.ALLOW:
            return self._refused(work, out, written)
        stated = [j.confidence for j in (door, out) if j.confidence is not None]
        answer = Answer(
            work.id,
            text,
            SafetyLabel.ALLOW,
            min(stated) if stated else None,
            finish,
            self._asked_tokens(work.asked),
            self._backend.count(text),
            work.domain,
            _rounded(written.plausibility),
            _rounded(written.confidence),
        )
        return Settled(work.entry(Outcome.ANSWERED, written, finish=finish), answer)

    def _refused(self, work: Work, judged: Judged, written: Written | None) -> Settled:
        work.label = strictest([work.label, judged.label])
        text = refusal_text(work.label, "".join(work.asked.texts))
        answer = Answer(
            work.id,
            text,
            work.label,
            judged.confidence,
            "content_filter",
            self._asked_tokens(work.asked),
            self._backend.count(text),
            work.domain,
        )
        entry = work.entry(Outcome.REFUSED, written, finish=answer.finish)
        return Settled(entry, answer)

    async def _record(self, work: Work, settled: Settled) -> None:
        """Make the record durable. Raises `RequestRefused` where it is not: then nothing leaves."""
        work.submitted = True
        entry = settled.entry
        try:
            await self._audit.append(entry)
        except AuditError as error:
            self._metrics.audit_failed()
            say(Event.AUDIT_FAILED, id=work.id, error=error)
            raise RequestRefused(Code.NO_AUDIT, retry_after_s=30.0, request_id=work.id) from None
        self._count(work, entry)

    def _abort(self, work: Work) -> None:
        """The caller went away: end the generation, and record it behind the caller's back."""
        if work.draft is not None:
            work.draft.abandon()
        if not work.submitted:
            task = asyncio.create_task(self._record_abort(work))
            self._late.add(task)
            task.add_done_callback(self._late.discard)

    async def _record_abort(self, work: Work) -> None:
        settled = work.without_answer(Outcome.ABORTED, Code.NO_ANSWER)
        try:
            await self._record(work, settled)
        except RequestRefused:
            return  # told and counted in there; nobody waits for an answer

    def _count(self, work: Work, entry: Entry) -> None:
        seconds = asyncio.get_running_loop().time() - work.started_s
        self._metrics.settled(entry.route, entry.outcome, seconds)
        say(Event.SETTLED, id=work.id, outcome=entry.outcome, label=entry.label)

    async def _until_release(self, work: Work) -> None:
        """Wait for the next whole multiple of `release_every_s` since the request came."""
        every = self._settings.release_every_s
        if every:
            passed = asyncio.get_running_loop().time() - work.started_s
            await asyncio.sleep(-passed % every)

    async def _in_texts(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._texts, contained, work)

    def _asked_tokens(self, asked: Asked) -> int:
        return sum(map(self._backend.count, asked.texts))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
