"""A whole server in the test's event loop, and everything that could give a thought away."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve.access import Keys
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.backend import Backend
from so8t_core.serve.door import Judge, word_lists
from so8t_core.serve.logs import PlaceFormatter
from so8t_core.serve.server import Server
from tests.serve.audits import SERVED, audit_settings, keys_of
from tests.serve.doubles import ScriptedBackend

_TIMEOUT = aiohttp.ClientTimeout(total=60)
QUESTION = "東京タワーの高さを教えてください。"


def serve_settings(folder: Path, **changes: Any) -> ServeSettings:
    limits = {"requests_per_minute": 1e6, "burst": 100_000, "shutdown_grace_s": 0.5}
    values: dict[str, Any] = {
        "port": 0,
        "metrics_port": 0,
        "release_every_s": 0,
        "audit": audit_settings(folder),
        **changes,
        "limits": {**limits, **changes.pop("limits", {})},
    }
    values["limits"] = {**limits, **values["limits"]}
    return ServeSettings.model_validate(values)


@dataclass
class Reply:
    """A response as it came, headers and reason phrase included."""

    status: int
    head: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


@dataclass
class Stage:
    settings: ServeSettings
    backend: ScriptedBackend
    server: Server
    audit: AuditLog
    client: aiohttp.ClientSession
    log: io.StringIO
    folder: Path
    replies: list[Reply] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def send(self, method: str, path: str, **options: Any) -> Reply:
        async with self.client.request(method, self.url + path, **options) as response:
            head = f"{response.reason}\n{dict(response.headers)}"
            reply = Reply(response.status, head, await response.read())
        self.replies.append(reply)
        return reply

    async def think(self, query: str = QUESTION, **fields: Any) -> Reply:
        return await self.send("POST", "/think", json={"user_id": "u", "query": query, **fields})

    async def chat(self, content: str = QUESTION, **fields: Any) -> Reply:
        body = {"model": "so8t", "messages": [{"role": "user", "content": content}], **fields}
        return await self.send("POST", "/v1/chat/completions", json=body)

    def records(self) -> list[dict[str, Any]]:
        lines = self.audit.path.read_text().splitlines()
        return [r for r in map(json.loads, lines) if r["kind"] == "request"]

    def sinks(self) -> dict[str, bytes]:
        """Everything that left the server or was written down by it."""
        files = {
            f"file {path.name}": path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }
        replies = {
            f"reply {number}": reply.head.encode() + reply.body
            for number, reply in enumerate(self.replies)
        }
        return {
            **files,
            **replies,
            "log": self.log.getvalue().encode(),
            "metrics": self.server.metrics.text(),
        }


@asynccontextmanager
async def staged(
    folder: Path,
    backend: Backend | None = None,
    judge: Judge = word_lists,
    keys: Keys | None = None,
    **changes: Any,
) -> AsyncIterator[Stage]:
    """A server with everything logged at debug level and the event loop in debug mode."""
    settings = serve_settings(folder, **changes)
    backend = backend or ScriptedBackend()
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(PlaceFormatter())
    root = logging.getLogger()
    level, temporary = root.level, tempfile.tempdir
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    tempfile.tempdir = str(folder)
    asyncio.get_running_loop().set_debug(True)
    audit = AuditLog(settings.audit, keys_of(settings.audit), SERVED)
    try:
        server = Server(settings, backend, audit, keys or Keys(None), judge)
        async with server, aiohttp.ClientSession(timeout=_TIMEOUT) as client:
            yield Stage(settings, backend, server, audit, client, log, folder)
    finally:
        audit.close()
        root.removeHandler(handler)
        root.setLevel(level)
        tempfile.tempdir = temporary
