"""A server that answers like Ollama's, and checks what it is sent and in which order.

After the API's documentation (docs/api.md of ollama/ollama): blobs by digest, create with files,
show, chat, version.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class OllamaDouble:
    """What it knows. `calls`: what was asked, in order; `complaints`: what was wrong with it."""

    version: str = "0.12.3"
    answer: str = "こんにちは。私は小さな模型です。"
    statuses: tuple[str, ...] = ("parsing GGUF", "using existing layer", "writing manifest")
    last_status: str = "success"
    changed_template: str | None = None
    refuse_create: str | None = None
    knows_show: bool = True
    instead: dict[str, str] = field(default_factory=dict)
    """By address, JSON that is answered in place of what is asked for; "" for silence."""
    calls: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    blobs: dict[str, int] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30, middlewares=[self._odd])
        app.add_routes(
            [
                web.get("/api/version", self._version),
                web.post("/api/blobs/{digest}", self._blob),
                web.post("/api/create", self._create),
                web.post("/api/show", self._show),
                web.post("/api/chat", self._chat),
            ]
        )
        return app

    @web.middleware
    async def _odd(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.removeprefix("/api/").partition("/")[0]
        if path not in self.instead:
            return await handler(request)
        while not self.instead[path]:
            await asyncio.sleep(0.05)
        return web.Response(text=self.instead[path], content_type="application/json")

    async def _version(self, _: web.Request) -> web.Response:
        self.calls.append("version")
        return web.json_response({"version": self.version})

    async def _blob(self, request: web.Request) -> web.Response:
        self.calls.append("blob")
        content = await request.read()
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        if digest != request.match_info["digest"]:
            self.complaints.append("the digest is not the content's")
            return web.json_response({"error": "digest mismatch"}, status=400)
        self.blobs[digest] = len(content)
        return web.Response(status=201)

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self.calls.append("create")
        body = await request.json()
        if self.refuse_create is not None:
            return web.json_response({"error": self.refuse_create}, status=400)
        files = body.get("files") or {}
        unknown = [digest for digest in files.values() if digest not in self.blobs]
        if len(files) != 1 or unknown or not body.get("stream"):
            self.complaints.append(f"create without its blob: {files}")
            return web.json_response({"error": "file does not exist"}, status=400)
        self.models[body["model"]] = body
        response = web.StreamResponse()
        await response.prepare(request)
        copied = [{"status": "copying", "completed": n, "total": 40} for n in (10, 20, 30, 40)]
        steps = [*copied, *({"status": status} for status in (*self.statuses, self.last_status))]
        for step in steps:
            await response.write(json.dumps(step).encode() + b"\n")
        return response

    async def _show(self, request: web.Request) -> web.Response:
        self.calls.append("show")
        body = self.models[(await request.json())["model"]]
        template = self.changed_template or body.get("template", "")
        shown = {"template": template, "details": {"family": "phi3"}, "model_info": {}}
        return web.json_response(shown if self.knows_show else {"template": template})

    async def _chat(self, request: web.Request) -> web.Response:
        self.calls.append("chat")
        body = await request.json()
        if body["model"] not in self.models:
            return web.json_response({"error": "model not found"}, status=404)
        message = {"role": "assistant", "content": self.answer}
        return web.json_response({"model": body["model"], "message": message, "done": True})


@contextmanager
def served(double: OllamaDouble) -> Iterator[OllamaDouble]:
    """The double on loopback, in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        runner = web.AppRunner(double.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        double.url = f"http://{host}:{port}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    try:
        yield double
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
