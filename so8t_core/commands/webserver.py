"""The interface behind textual-serve, for a browser on this machine and for nobody else."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware
    from aiohttp.web import Request, StreamResponse
    from textual_serve.server import Server


def is_free(host: str, port: int) -> bool:
    """Whether nothing listens there yet."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def own_pages_only(places: set[str]) -> Middleware:
    """A guard that refuses requests to another name, or from pages of another site.

    Such a page could otherwise steer runs through the browser of whoever looks at it.
    """
    from aiohttp import web

    @web.middleware
    async def guard(
        request: Request, handler: Callable[[Request], Awaitable[StreamResponse]]
    ) -> StreamResponse:
        origin = request.headers.get("Origin")
        foreign = origin is not None and origin.removeprefix("http://") not in places
        if request.host not in places or foreign:
            raise web.HTTPForbidden(text="This interface serves its own pages alone.")
        return await handler(request)

    return guard


def interface_server(command: str, host: str, port: int, places: set[str]) -> Server:
    """A server that starts an interface for each browser window; `places` are its own names."""
    from aiohttp import web
    from textual_serve.server import Server

    class Guarded(Server):
        async def _make_app(self) -> web.Application:
            app = await super()._make_app()
            app.middlewares.append(own_pages_only(places))
            return app

    return Guarded(command, host=host, port=port, title="SO8T")
