"""The running server: ports, signals, and an end without half-told answers."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from so8t_core.contract.errors import ServeError
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve.access import Keys
from so8t_core.serve.app import Interface, metrics_application, refuse_badly_framed
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.backend import Backend
from so8t_core.serve.door import Judge
from so8t_core.serve.logs import Event, say, unhandled_in_loop
from so8t_core.serve.metrics import Metrics
from so8t_core.serve.service import Service

_POLL_S = 0.05
_CANCEL_S = 1.0
_KEEP_ALIVE_S = 15.0
_MAX_LINE_BYTES = 4096


class _QuietHandler(RequestHandler):
    """aiohttp's handler, which would repeat bad bytes and, in debug mode, tracebacks."""

    __slots__ = ()

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


class _QuietServer(web.Server):
    def __call__(self) -> RequestHandler:
        return _QuietHandler(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """Runs an application on quiet handlers; a caller who goes away cancels the request."""

    async def _make_server(self) -> web.Server:
        made: Any = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                response: web.StreamResponse = await made.request_handler(request)
            except web.HTTPException:
                # raised before any middleware, as for an unknown Expect, which it would repeat
                return refuse_badly_framed(request)
            return response

        return _QuietServer(
            handle,
            request_factory=made.request_factory,
            handler_cancellation=True,
            loop=asyncio.get_running_loop(),
            **made._kwargs,
        )


class Server:
    """Everything that runs while the server does. Use as `async with`."""

    def __init__(
        self,
        settings: ServeSettings,
        backend: Backend,
        audit: AuditLog,
        keys: Keys,
        judge: Judge,
    ) -> None:
        self._settings = settings
        self._audit = audit
        self.metrics = Metrics()
        self.service = Service(settings, backend, audit, self.metrics, judge)
        self._interface = Interface(settings, self.service, keys)
        self._runners: list[web.AppRunner] = []
        self._sites: list[web.TCPSite] = []
        self._stopped = False
        self.port = 0
        self.metrics_port: int | None = None

    async def __aenter__(self) -> Server:
        asyncio.get_running_loop().set_exception_handler(unhandled_in_loop)
        settings = self._settings
        try:
            self.port = await self._listen(
                self._interface.application(), settings.host, settings.port, "serve.port"
            )
            if settings.metrics_port is not None:
                self.metrics_port = await self._listen(
                    metrics_application(self.metrics),
                    settings.metrics_host,
                    settings.metrics_port,
                    "serve.metrics_port",
                )
        except BaseException:
            await self._end()
            raise
        say(Event.STARTED, port=self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _listen(
        self, application: web.Application, host: str, port: int, setting: str
    ) -> int:
        runner = _Runner(
            application,
            access_log=None,
            keepalive_timeout=_KEEP_ALIVE_S,
            shutdown_timeout=_CANCEL_S,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            auto_decompress=False,
        )
        await runner.setup()
        self._runners.append(runner)
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            raise ServeError(
                "The port is in use." if in_use else "The address cannot be listened on.",
                where=f"{host}:{port}",
                hint=f"Set another one with --set {setting}=PORT; 0 takes any free one.",
            ) from error
        self._sites.append(site)
        return int(runner.addresses[0][1])

    async def stop(self) -> None:
        """Take nothing new, answer what is there within the grace, end the rest, close the log."""
        if self._stopped:
            return
        self._stopped = True
        say(Event.STOPPING, inside=self.service.inside)
        self.service.stop()
        await self._sites[0].stop()
        deadline = asyncio.get_running_loop().time() + self._settings.limits.shutdown_grace_s
        while self.service.inside and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_S)
        await self._end()
        say(Event.STOPPED)

    async def _end(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        await self.service.close()


async def run_until_told(server: Server, audit: AuditLog, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP begins a new file of the audit log."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)

    def rotate() -> None:
        audit.rotate().add_done_callback(
            lambda done: say(Event.ROTATED) if done.exception() is None else say(Event.AUDIT_FAILED)
        )

    loop.add_signal_handler(signal.SIGHUP, rotate)
    async with server:
        started()
        await told.wait()
