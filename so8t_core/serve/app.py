"""The HTTP interface: routes, limits and errors. What is answered is decided in the service."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from so8t_core.contract.errors import RequestRefused
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve.access import Buckets, Keys
from so8t_core.serve.exchange import Answer, Asked
from so8t_core.serve.logs import Event, Ident, new_id, say
from so8t_core.serve.metrics import Metrics
from so8t_core.serve.problems import PROBLEMS, Code, body_of
from so8t_core.serve.replies import (
    chat_events,
    chat_reply,
    model_reply,
    models_reply,
    think_reply,
)
from so8t_core.serve.requests import (
    B,
    ChatBody,
    ThinkBody,
    chat_messages,
    chat_sampling,
    read_body,
    think_messages,
    think_sampling,
)
from so8t_core.serve.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_HTTP_CODES = {404: Code.NO_ROUTE, 405: Code.NO_METHOD, 413: Code.TOO_LARGE}
_RECORDED = frozenset({Code.NO_ANSWER, Code.TIMED_OUT})
"""Problems of requests that have a record of their own."""
_LONGEST_RETRY_S = 86_400
_HEADERS = {
    "Server": "so8t",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


class Interface:
    """Makes the application around a service."""

    def __init__(self, settings: ServeSettings, service: Service, keys: Keys) -> None:
        self._settings = settings
        self._service = service
        self._keys = keys
        limits = settings.limits
        self._buckets = Buckets(
            per_minute=limits.requests_per_minute, burst=limits.burst, clock=time.monotonic
        )
        self._created = int(time.time())
        self._names = _OWN_NAMES | {settings.host, *map(str.lower, settings.host_names)}

    def application(self) -> web.Application:
        """The routes; every error of theirs has the one constant form."""
        application = web.Application(
            middlewares=[self._guarded], client_max_size=self._settings.limits.max_body_bytes
        )
        application.router.add_post("/think", self._think)
        application.router.add_post("/v1/chat/completions", self._chat)
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/v1/models/{name}", self._model)
        application.router.add_get("/health", self._health)
        application.router.add_get("/ready", self._ready)
        application.on_response_prepare.append(_set_headers)
        return application

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_host(request)
            return await handler(request)
        except RequestRefused as refused:
            return self._refuse(refused)
        except web.HTTPException as error:
            code = _HTTP_CODES.get(error.status, Code.MALFORMED)
            return self._refuse(RequestRefused(code))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - the last border: an id, never its words
            error_id = new_id()
            say(Event.FAILED, id=error_id, error=error)
            return self._refuse(RequestRefused(Code.INTERNAL, request_id=error_id))

    def _refuse(self, refused: RequestRefused) -> web.Response:
        code = Code(refused.code)
        if code not in _RECORDED:
            self._service.turn_away(code)
        error_id = new_id() if refused.request_id is None else Ident(refused.request_id)
        say(Event.REFUSED, id=error_id, code=code)
        return problem_response(code, error_id, refused.field, refused.retry_after_s)

    def _check_host(self, request: web.Request) -> None:
        """Other names are how a web page in a browser would reach a server on loopback."""
        given = request.headers.get("Host", "")
        host = given.rpartition(":")[0] if _has_port(given) else given
        name = host.strip("[]").lower()
        if name not in self._names and not _is_same_address(name, self._settings.host):
            raise RequestRefused(Code.WRONG_HOST)

    def _admit(self, request: web.Request) -> Ident:
        owner = self._keys.who(request.headers.get("Authorization"))
        self._buckets.take(owner)
        return owner

    async def _body(self, request: web.Request, form: type[B]) -> B:
        encoded = "Content-Encoding" in request.headers
        if encoded or request.content_type != "application/json":
            raise RequestRefused(Code.MEDIA_TYPE)
        if (request.content_length or 0) > self._settings.limits.max_body_bytes:
            raise RequestRefused(Code.TOO_LARGE)
        try:
            async with asyncio.timeout(self._settings.limits.body_timeout_s):
                data = await request.read()
        except TimeoutError:
            raise RequestRefused(Code.SLOW_BODY) from None
        except web.RequestPayloadError:
            raise RequestRefused(Code.MALFORMED) from None
        return read_body(data, form)

    async def _think(self, request: web.Request) -> web.StreamResponse:
        owner = self._admit(request)
        self._service.check_room()  # before any work is done for it
        body = await self._body(request, ThinkBody)
        if len(body.query) > self._settings.limits.max_characters:
            raise RequestRefused(Code.TOO_LARGE, field="query")
        sampling = think_sampling(body, self._settings.limits)
        asked = Asked("think", owner, think_messages(body), sampling)
        answer = await self._service.answer(asked)
        return web.json_response(think_reply(answer))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        owner = self._admit(request)
        self._service.check_room()  # before any work is done for it
        body = await self._body(request, ChatBody)
        if body.model != self._settings.name:
            raise RequestRefused(Code.NO_MODEL, field="model")
        if body.stream_options is not None and not body.stream:
            raise RequestRefused(Code.UNSUPPORTED, field="stream_options")
        limits = self._settings.limits
        asked = Asked("chat", owner, chat_messages(body, limits), chat_sampling(body, limits))
        answer = await self._service.answer(asked)
        if body.stream:
            usage = body.stream_options is not None and body.stream_options.include_usage
            return await self._stream(request, answer, usage=usage)
        return web.json_response(
            chat_reply(answer, model=self._settings.name, created=int(time.time()))
        )

    async def _stream(
        self, request: web.Request, answer: Answer, *, usage: bool
    ) -> web.StreamResponse:
        """Send the finished answer in pieces: until it was complete, nothing of it was known."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in chat_events(
            answer,
            model=self._settings.name,
            created=int(time.time()),
            piece_characters=self._settings.piece_characters,
            usage=usage,
        ):
            await response.write(event)
        await response.write_eof()
        return response

    async def _models(self, request: web.Request) -> web.Response:
        self._admit(request)
        return web.json_response(models_reply(self._settings.name, self._created))

    async def _model(self, request: web.Request) -> web.Response:
        self._admit(request)
        if request.match_info["name"] != self._settings.name:
            raise RequestRefused(Code.NO_MODEL)
        return web.json_response(model_reply(self._settings.name, self._created))

    async def _health(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"status": "ok"})

    async def _ready(self, request: web.Request) -> web.Response:
        del request
        ready = self._service.ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)


def problem_response(
    code: Code, error_id: Ident, field: str | None = None, retry_after_s: float | None = None
) -> web.Response:
    """A problem as a response. OpenAI's clients do not try again what will not come out better."""
    response = web.json_response(
        body_of(code, field=field, error_id=error_id),
        status=PROBLEMS[code].status,
        headers=_HEADERS,
    )
    if retry_after_s is not None:
        seconds = math.ceil(min(retry_after_s, _LONGEST_RETRY_S))
        response.headers["Retry-After"] = str(max(1, seconds))
    if code is Code.UNAUTHORISED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if code is Code.NO_ANSWER:
        response.headers["X-Should-Retry"] = "false"
    return response


async def _set_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    del request
    response.headers.update(_HEADERS)


def _has_port(host: str) -> bool:
    return host.rpartition("]")[2].count(":") == 1


def _is_same_address(name: str, own: str) -> bool:
    """Whether a server on all addresses is spoken to by one of them."""
    try:
        return ip_address(own).is_unspecified and bool(ip_address(name))
    except ValueError:
        return False


def metrics_application(metrics: Metrics) -> web.Application:
    """`GET /metrics`, for a port of its own."""

    async def show(request: web.Request) -> web.Response:
        del request
        return web.Response(
            body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    application = web.Application()
    application.router.add_get("/metrics", show)
    application.on_response_prepare.append(_set_headers)
    return application


def refuse_badly_framed(_: Any) -> web.Response:
    """The response to bytes that are no HTTP request."""
    return problem_response(Code.MALFORMED, new_id())
