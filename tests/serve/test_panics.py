"""What breaks off below Python fails its own requests, is audited, and leaves the rest alive."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from so8t_core.contract.errors import ModelError, ModelPanic, ServeError
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve import server as server_module
from so8t_core.serve.access import Keys
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.backend import Sampling
from so8t_core.serve.door import word_lists
from so8t_core.serve.drafts import Desk, Draft
from so8t_core.serve.panics import MOST_PANICS, contained
from so8t_core.serve.server import Server, run_until_told
from so8t_core.serve.think import ParseStatus, ThinkParser
from so8t_core.serve.torch_backend import Speller, TorchBackend
from tests.serve.audits import SERVED, keys_of
from tests.serve.doubles import ANSWER, CANARY, Script, ScriptedBackend, parts, tokens
from tests.serve.stage import QUESTION, Stage, serve_settings, staged
from tests.serve.test_connections import until
from tests.serve.test_leaks import assert_no_leak
from tests.serve.trained import LEARNT, output_for


class PanicException(BaseException):
    """As pyo3 raises it: no Exception."""


def broken(_: object) -> Script:
    return Script(tokens(f"<think-task>{CANARY}"), error=PanicException(CANARY))


def waiting_in(stage: Stage) -> int:
    return len(stage.server.service._desk._waiting)


async def test_a_panic_fails_its_request_alone(tmp_path: Path):
    async with staged(tmp_path, ScriptedBackend(broken)) as stage:
        for _ in range(MOST_PANICS - 1):
            reply = await stage.think()
            assert (reply.status, reply.code) == (502, "no_answer")
        stage.backend.say = lambda _: parts()
        assert (await stage.think()).json["answer"] == ANSWER
        stage.backend.say = broken
        assert (await stage.think()).status == 502
        assert (await stage.send("GET", "/ready")).status == 200
        outcomes = [record["outcome"] for record in stage.records()]
        assert outcomes == ["failed", "failed", "answered", "failed"]
        assert "PanicException" in stage.log.getvalue()
        assert_no_leak(stage)


@pytest.mark.parametrize("method", ["encode", "count"])
async def test_so_does_one_in_the_tokenizer(tmp_path: Path, method: str):
    backend = ScriptedBackend()

    def panic(*_: object) -> None:
        raise PanicException(CANARY)

    setattr(backend, method, panic)
    async with staged(tmp_path, backend) as stage:
        assert (await stage.think()).status == 502
        assert [record["outcome"] for record in stage.records()] == ["failed"]
        assert_no_leak(stage)


async def test_one_panic_of_a_whole_batch_counts_once(tmp_path: Path):
    async with staged(tmp_path, ScriptedBackend(broken, max_batch=8)) as stage:
        stage.backend.hold()
        first = asyncio.create_task(stage.think())
        await until(lambda: stage.backend.batches == [1])
        waiting = [asyncio.create_task(stage.think()) for _ in range(7)]
        await until(lambda: waiting_in(stage) == 7)
        stage.backend.release()
        assert {reply.status for reply in await asyncio.gather(first, *waiting)} == {502}
        assert (await stage.send("GET", "/ready")).status == 200


async def test_panics_without_end_give_the_model_up(tmp_path: Path):
    async with staged(tmp_path, ScriptedBackend(broken)) as stage:
        for _ in range(MOST_PANICS):
            assert (await stage.think()).status == 502
        assert (await stage.send("GET", "/ready")).status == 503
        reply = await stage.think()
        assert (reply.status, reply.code) == (503, "server_stopping")
        assert len(stage.records()) == MOST_PANICS


async def test_and_the_server_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "_LOST_POLL_S", 0.02)
    settings = serve_settings(tmp_path)
    audit = AuditLog(settings.audit, keys_of(settings.audit), SERVED)
    server = Server(settings, ScriptedBackend(broken), audit, Keys(None), word_lists)
    started = asyncio.Event()
    running = asyncio.create_task(run_until_told(server, audit, started.set))
    await started.wait()
    import aiohttp

    async with aiohttp.ClientSession() as client:
        for _ in range(MOST_PANICS):
            url = f"http://127.0.0.1:{server.port}/think"
            async with client.post(url, json={"user_id": "u", "query": QUESTION}) as response:
                assert response.status == 502
    with pytest.raises(ServeError, match="broke off below Python"):
        await asyncio.wait_for(running, 10)
    audit.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_the_end_of_the_models_thread_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def end(*_: object) -> None:
        raise SystemExit

    async with staged(tmp_path) as stage:
        with monkeypatch.context() as patch:
            patch.setattr(Desk, "_next_batch", end)
            assert (await stage.think()).status == 200  # its thread was waiting already
            assert (await asyncio.wait_for(stage.think(), 10)).status in (502, 503)
        assert (await stage.send("GET", "/ready")).status == 503
        assert (await stage.think()).code == "server_stopping"


async def test_an_answer_that_cannot_be_parsed_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    real = ThinkParser.finish

    def finish(parser: ThinkParser, *, ended: bool):
        thought = real(parser, ended=ended)
        if "poison" in thought.final:
            raise RecursionError(CANARY)
        return thought

    monkeypatch.setattr(ThinkParser, "finish", finish)
    backend = ScriptedBackend(
        lambda messages: parts(final="poison") if "毒" in messages[-1].content else parts()
    )
    async with staged(tmp_path, backend) as stage:
        backend.hold()
        first = asyncio.create_task(stage.think())
        await until(lambda: backend.batches == [1])
        both = [asyncio.create_task(stage.think(query)) for query in ("毒の話", QUESTION)]
        await until(lambda: waiting_in(stage) == 2)
        backend.release()
        assert [reply.status for reply in await asyncio.gather(first, *both)] == [200, 502, 200]
        assert backend.batches == [1, 2]
        assert_no_leak(stage)


def test_a_token_that_cannot_be_read_ends_its_own_answer_alone(
    thinker: Path, monkeypatch: pytest.MonkeyPatch
):
    backend = TorchBackend(
        thinker, ServeSettings(instructions=None, threads=1, device="cpu"), seed=1
    )
    question = next(iter(LEARNT))
    from so8t_core.serve.backend import Message

    ids = backend.encode([Message("user", question)])
    drafts = [Draft(ids, Sampling(512, 0.0, 1.0), tags_are_tokens=False) for _ in range(3)]
    spellers: list[Speller] = []
    real = Speller.piece

    def piece(speller: Speller, *given: object, **options: object):
        if speller not in spellers:
            spellers.append(speller)
        if spellers.index(speller) == 1 and len(speller._ids) > 5:
            raise PanicException(CANARY)
        return real(speller, *given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Speller, "piece", piece)
    backend.write(drafts)
    assert isinstance(drafts[1].done.exception(0), ModelPanic)
    for draft in (drafts[0], drafts[2]):
        written = draft.done.result(0)
        assert written.thought.status is ParseStatus.COMPLETE
        assert written.output.decode() == output_for(question)
    backend.close()


def test_an_error_stays_what_it_is():
    def fail() -> None:
        raise ModelError("no")

    with pytest.raises(ModelError, match="no") as caught:
        contained(fail)
    assert type(caught.value) is ModelError
    assert contained(lambda: 5) == 5
