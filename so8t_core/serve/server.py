"""The running server: ports, signals, and an end without half-told answers."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from aiohttp import web

from so8t_core.contract.errors import ServeError
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.serve.access import Keys
from so8t_core.serve.app import Interface, metrics_application
from so8t_core.serve.audit import AuditLog
from so8t_core.serve.backend import Backend
from so8t_core.serve.connections import ConnectionLimits, ConnectionRunner, check_open_files
from so8t_core.serve.door import Judge
from so8t_core.serve.logs import Event, say, unhandled_in_loop
from so8t_core.serve.metrics import Metrics
from so8t_core.serve.service import Service

_POLL_S = 0.05
_LOST_POLL_S = 1.0
_METRICS_CONNECTIONS = 16


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
            limits = ConnectionLimits(
                settings.limits.max_connections,
                settings.limits.idle_timeout_s,
                settings.limits.send_timeout_s,
            )
            check_open_files(limits.most + _METRICS_CONNECTIONS)
            self.port = await self._listen(
                self._interface.application(), limits, settings.host, settings.port, "serve.port"
            )
            if settings.metrics_port is not None:
                self.metrics_port = await self._listen(
                    metrics_application(self.metrics),
                    replace(limits, most=_METRICS_CONNECTIONS),
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
        self,
        application: web.Application,
        limits: ConnectionLimits,
        host: str,
        port: int,
        setting: str,
    ) -> int:
        runner = ConnectionRunner(application, limits, self.metrics)
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
    """Serve until SIGTERM or SIGINT; SIGHUP begins a new file of the audit log.

    Raises `ServeError` when the model is lost.
    """
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
        while not told.is_set() and not server.service.lost:
            with suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), _LOST_POLL_S)
    if not told.is_set():
        raise ServeError(
            "The model can write nothing any more: its code broke off below Python.",
            hint="The log says where. Start the server again; serve another file if it goes on.",
        )
