"""Connections: so many at once, none that waits for ever, and no word of theirs repeated."""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from so8t_core.contract.errors import ServeError
from so8t_core.serve.app import refuse_badly_framed
from so8t_core.serve.logs import Event, say
from so8t_core.serve.metrics import Metrics

_MAX_LINE_BYTES = 4096
_MAX_HEADERS = 64
_LINGER_S = 1.0
_CANCEL_S = 1.0
_SWEEP_S = 0.5
_OTHER_FILES = 128  # of the model, the logs, the libraries


@dataclass(frozen=True)
class ConnectionLimits:
    """`most` at once; `idle_s` to send the head of a request; `unread_s` to take a response."""

    most: int
    idle_s: float
    unread_s: float


class Connection(RequestHandler):
    """aiohttp's handler, but for its words: it would repeat bad bytes and tracebacks."""

    __slots__ = ("_unread_since", "_wire")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or end it or another one where there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        self._unread_since: float | None = None
        super().connection_made(transport)
        self._server.made(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget it."""
        if self._manager is not None:
            self._server.lost(self)
        super().connection_lost(exc)

    @property
    def _server(self) -> ConnectionServer:
        assert isinstance(self._manager, ConnectionServer)
        return self._manager

    @property
    def waits_for_peer(self) -> bool:
        """Whether nothing can be done before the other side sends or takes something."""
        if self._wire.get_write_buffer_size():
            return True
        if self._current_request is not None:
            return not self._current_request.content.is_eof()
        return not self._messages

    def look(self, now: float, unread_s: float) -> bool:
        """Whether what was sent has not been taken for longer than `unread_s`."""
        if not self._wire.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        return self._unread_since is not None and now - self._unread_since > unread_s

    def drop(self) -> None:
        """End it at once; what has not been sent is lost."""
        self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The constant form instead."""
        del status, message
        say(Event.FAILED, error=exc)
        if request.writer.output_size > 0:
            raise ConnectionError
        response = refuse_badly_framed(request)
        response.force_close()
        return response


class ConnectionServer(web.Server):
    """Keeps the open connections, oldest first."""

    def __init__(
        self, handler: Any, limits: ConnectionLimits, metrics: Metrics, **options: Any
    ) -> None:
        super().__init__(handler, **options)
        self._limits = limits
        self._metrics = metrics
        self._open: dict[Connection, None] = {}

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    def made(self, connection: Connection) -> None:
        """Count a new one. Where there are too many, the oldest that keeps us waiting has to go.

        So callers who send nothing keep nobody out. Where none does, the new one has to go.
        """
        self._open[connection] = None
        if len(self._open) > self._limits.most:
            waiting = (one for one in self._open if one.waits_for_peer and one is not connection)
            self._drop(next(waiting, connection))

    def lost(self, connection: Connection) -> None:
        """One is gone."""
        self._open.pop(connection, None)

    def sweep(self) -> None:
        """End those that do not take what was sent to them."""
        now = self._loop.time()
        for connection in [*self._open]:
            if connection.look(now, self._limits.unread_s):
                self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self.lost(connection)
        self._metrics.dropped()
        connection.drop()


class ConnectionRunner(web.AppRunner):
    """Runs an application on such connections; a caller who goes away cancels the request."""

    def __init__(
        self, application: web.Application, limits: ConnectionLimits, metrics: Metrics
    ) -> None:
        super().__init__(
            application,
            access_log=None,
            keepalive_timeout=limits.idle_s,
            lingering_time=_LINGER_S,
            shutdown_timeout=_CANCEL_S,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
            auto_decompress=False,
        )
        self._limits = limits
        self._metrics = metrics
        self._sweeper: asyncio.Task[None] | None = None

    async def _make_server(self) -> web.Server:
        made: Any = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                response: web.StreamResponse = await made.request_handler(request)
            except web.HTTPException:
                # raised before any middleware, as for an unknown Expect, which it would repeat
                return refuse_badly_framed(request)
            return response

        server = ConnectionServer(
            handle,
            self._limits,
            self._metrics,
            request_factory=made.request_factory,
            handler_cancellation=True,
            loop=asyncio.get_running_loop(),
            **made._kwargs,
        )
        self._sweeper = asyncio.create_task(self._sweep(server))
        return server

    async def _sweep(self, server: ConnectionServer) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_S, self._limits.unread_s))
            server.sweep()

    async def cleanup(self) -> None:
        """End all of them."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        await super().cleanup()


def check_open_files(connections: int) -> None:
    """Have the system allow so many connections. Raises `ServeError` where it does not."""
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ServeError(
            f"The system allows {hard} open files, and {connections} connections need {needed}.",
            where="serve.limits.max_connections",
            hint="Lower it, or allow more open files (ulimit -n).",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
