"""Callers who send nothing, or take nothing, keep nobody else out. With real sockets."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from so8t_core.contract.errors import ServeError
from so8t_core.serve.connections import (
    ConnectionLimits,
    ConnectionRunner,
    check_open_files,
)
from so8t_core.serve.metrics import Metrics
from tests.serve.doubles import ScriptedBackend
from tests.serve.stage import Stage, staged

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = b"POST /think HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SILENT = {
    "nothing": b"",
    "half a head": HEAD,
    "half a body": HEAD + b'Content-Length: 500\r\n\r\n{"user_id": ',
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "a refused body": HEAD.replace(b"/think", b"/other") + b"Content-Length: 500\r\n\r\n{",
}


@asynccontextmanager
async def connected(port: int, sent: bytes, number: int) -> AsyncIterator[list[Pair]]:
    pairs = []
    for _ in range(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        pairs.append((reader, writer))
    await asyncio.sleep(0)
    yield pairs
    for _, writer in pairs:
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 5) is not None
    except ConnectionError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come about")


def dropped(stage: Stage) -> bool:
    return b"so8t_connections_dropped_total 0.0" not in stage.server.metrics.text()


@pytest.mark.parametrize("sent", SILENT)
async def test_silent_callers_keep_nobody_out(tmp_path: Path, sent: str):
    limits = {"max_connections": 8, "idle_timeout_s": 60, "body_timeout_s": 60}
    async with staged(tmp_path, limits=limits) as stage:
        async with connected(stage.server.port, SILENT[sent], 30) as pairs:
            for _ in range(3):
                assert (await stage.think()).status == 200
            assert await ended(pairs[0][0])  # the oldest had to go
        assert dropped(stage)


async def test_who_is_being_answered_is_not_ended_for_a_newcomer(tmp_path: Path):
    backend = ScriptedBackend(max_batch=4)
    async with staged(tmp_path, backend, limits={"max_connections": 4}) as stage:
        backend.hold()
        waiting = [asyncio.create_task(stage.think()) for _ in range(4)]
        await until(lambda: stage.server.service.inside == 4)
        async with connected(stage.server.port, b"", 10) as pairs:
            for reader, _ in pairs:
                assert await ended(reader)  # all of them newer, and no place for any
            backend.release()
            assert [reply.status for reply in await asyncio.gather(*waiting)] == [200] * 4


@pytest.mark.parametrize("sent", ["nothing", "half a head"])
async def test_a_silent_caller_is_ended_in_time(tmp_path: Path, sent: str):
    async with staged(tmp_path, limits={"idle_timeout_s": 0.2}) as stage:
        async with connected(stage.server.port, SILENT[sent], 3) as pairs:
            assert all([await ended(reader) for reader, _ in pairs])
        assert not dropped(stage)


@pytest.mark.parametrize("sent", ["half a body", "half a chunk"])
async def test_half_a_body_is_answered_and_ended_in_time(tmp_path: Path, sent: str):
    async with staged(tmp_path, limits={"body_timeout_s": 0.2}) as stage:
        async with connected(stage.server.port, SILENT[sent], 1) as pairs:
            told = await asyncio.wait_for(pairs[0][0].read(), 10)
        assert told.startswith(b"HTTP/1.1 408")
        assert stage.server.service.inside == 0


async def test_the_metrics_have_a_limit_too(tmp_path: Path):
    async with staged(tmp_path) as stage:
        port = stage.server.metrics_port
        assert port is not None
        async with connected(port, b"", 60):
            async with stage.client.get(f"http://127.0.0.1:{port}/metrics") as response:
                assert response.status == 200
            assert dropped(stage)


async def test_a_caller_who_does_not_take_a_response_is_ended():
    begun, size = asyncio.Event(), 40_000_000

    async def much(request: web.Request) -> web.Response:
        begun.set()
        return web.Response(body=b"x" * size)

    application = web.Application()
    application.router.add_get("/", much)
    metrics = Metrics()
    runner = ConnectionRunner(application, ConnectionLimits(4, 60, 0.2), metrics)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(caller, runner.addresses[0][:2])
    await loop.sock_sendall(caller, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(begun.wait(), 5)
    await until(lambda: b"so8t_connections_dropped_total 1.0" in metrics.text())
    taken = 0
    with suppress(ConnectionResetError):
        while part := await asyncio.wait_for(loop.sock_recv(caller, 1 << 20), 5):
            taken += len(part)
    assert taken < size
    caller.close()
    await runner.cleanup()


def test_more_connections_than_open_files_are_refused(monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    check_open_files(100)
    assert asked == []
    check_open_files(1000)
    assert asked == [(1128, 4096)]
    with pytest.raises(ServeError, match="4096 open files"):
        check_open_files(4000)
