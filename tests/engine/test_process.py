"""What a phase's process said last is heard, however it ends."""

from __future__ import annotations

import asyncio
import json
import socket

from so8t_core.engine.process import _Lines


async def test_lines_sent_before_a_reset_are_all_heard():
    ours, theirs = socket.socketpair()
    heard: list[dict[str, int]] = []
    ours.sendall(b"a wish that nobody reads\n" * 10)
    theirs.sendall(b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(1000)))
    theirs.close()  # with unread data: the other side sees a reset
    loop = asyncio.get_running_loop()
    _, lines = await loop.create_connection(lambda: _Lines(heard.append), sock=ours)
    await asyncio.wait_for(lines.ended, 10)
    assert [message["n"] for message in heard] == list(range(1000))


async def test_a_torn_last_line_is_not_heard():
    ours, theirs = socket.socketpair()
    heard: list[dict[str, int]] = []
    theirs.sendall(b'{"n": 1}\n{"n": ')
    theirs.close()
    loop = asyncio.get_running_loop()
    _, lines = await loop.create_connection(lambda: _Lines(heard.append), sock=ours)
    await asyncio.wait_for(lines.ended, 10)
    assert heard == [{"n": 1}]
