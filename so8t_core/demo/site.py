"""The demo site's server: aiohttp on loopback, hosts told apart by the Host header."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from so8t_core.contract.files import write_json
from so8t_core.demo.access_log import Access, AccessLog
from so8t_core.demo.facts import SiteFacts, gather_facts
from so8t_core.demo.rendering import (
    Document,
    http_date,
    render_month,
    render_page,
    render_sitemap,
)
from so8t_core.demo.source import DOMAIN, Host, load_hosts

ACCESS_LOG_FILE = "access.jsonl"
BUSY_FILE = "busy.json"


class DemoSite:
    """Serves the demo site while the context is open.

    `state_folder` keeps what must outlive a kill: which "503 once" pages have said so
    (`busy.json`), and the access log (`access.jsonl`). The port is ephemeral and enters no URL: a
    crawler resolves every name of `hosts` to `address`.
    """

    host = f"www.{DOMAIN}"

    def __init__(self, state_folder: Path) -> None:
        self.state_folder = state_folder
        self.hosts: tuple[str, ...] = tuple(host.name for host in load_hosts())
        self.seeds: tuple[str, ...] = tuple(
            page.url
            for host in load_hosts()
            for page in host.pages
            if page.path == "/" and page.meta.access == "open"
        )
        self._documents = {host.name: _documents(host) for host in load_hosts()}
        self._sources = {host.name: host for host in load_hosts()}
        self._log = AccessLog(state_folder / ACCESS_LOG_FILE)
        self._busy = _BusyOnce(state_folder / BUSY_FILE)
        self._runner: web.ServerRunner | None = None
        self._address: tuple[str, int] | None = None

    @property
    def access_log(self) -> Path:
        """The file that `read_access_log` reads."""
        return self.state_folder / ACCESS_LOG_FILE

    @property
    def address(self) -> tuple[str, int]:
        """Loopback address and port; known once the context is open."""
        assert self._address is not None, "the demo site is not being served"
        return self._address

    @staticmethod
    def facts() -> SiteFacts:
        """What is true of the site."""
        return gather_facts()

    async def __aenter__(self) -> Self:
        self._log.__enter__()
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self._address = (host, port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()
        self._log.__exit__(kind, error, trace)
        self._runner = self._address = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        started_s = time.monotonic()
        host = request.host.partition(":")[0].lower()
        response = self._respond(host, request)
        self._log.append(
            Access(
                host=host,
                path=request.path_qs,
                method=request.method,
                status=response.status,
                user_agent=request.headers.get("User-Agent", ""),
                wall_s=time.time(),
                started_s=started_s,
                finished_s=time.monotonic(),
            )
        )
        return response

    def _respond(self, host: str, request: web.BaseRequest) -> web.Response:
        source = self._sources.get(host)
        if source is None:
            return web.Response(status=421, text="This server knows no such host.")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        path = request.path
        if redirect := source.meta.redirects.get(path):
            return web.Response(status=redirect.status, headers={"Location": redirect.to})
        if path in source.meta.gone:
            return web.Response(status=410, text="このページは公開を終了しました。")
        document = self._documents[host].get(path) or _month(source, path)
        if document is None:
            return web.Response(status=404, text="ページが見つかりません。")
        wait_s = _retry_after_s(source, path)
        if wait_s and self._busy.first_visit(f"http://{host}{path}"):
            return web.Response(status=503, headers={"Retry-After": str(wait_s)})
        return _sent(document, request.headers.get("If-None-Match"))


def _documents(host: Host) -> dict[str, Document]:
    """Everything on a host that does not depend on the request, by path."""
    newest = http_date(max(page.meta.updated for page in host.pages))
    documents = {page.path: render_page(page, host) for page in host.pages}
    documents["/robots.txt"] = Document(
        host.robots_txt.encode(), "text/plain; charset=UTF-8", newest
    )
    documents["/sitemap.xml"] = render_sitemap(host)
    for path, content_type in host.meta.files.items():
        documents[path] = Document(
            (host.folder / path.lstrip("/")).read_bytes(), content_type, newest
        )
    return documents


def _month(host: Host, path: str) -> Document | None:
    for prefix, length in host.meta.month_chains.items():
        number = path.removeprefix(prefix)
        if path.startswith(prefix) and number.isdecimal() and 1 <= int(number) <= length:
            return render_month(prefix, int(number), length)
    return None


def _retry_after_s(host: Host, path: str) -> int:
    return next((page.meta.retry_after_s for page in host.pages if page.path == path), 0)


def _sent(document: Document, known_etag: str | None) -> web.Response:
    headers = {"ETag": document.etag, "Last-Modified": document.last_modified}
    if document.x_robots:
        headers["X-Robots-Tag"] = document.x_robots
    if known_etag == document.etag:
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = document.content_type
    return web.Response(body=document.body, headers=headers)


class _BusyOnce:
    """Remembers durably which URLs have already answered 503."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def first_visit(self, url: str) -> bool:
        visited = json.loads(self._path.read_text("utf-8")) if self._path.exists() else []
        if url in visited:
            return False
        write_json(self._path, sorted([*visited, url]))
        return True
