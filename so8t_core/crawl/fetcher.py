"""One HTTP request: bounded in size and time, without redirects, through the guard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

import aiohttp
from yarl import URL

import so8t_core
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.encoding import EncodingRefused, inflater
from so8t_core.crawl.guard import AddressRefused, Guard
from so8t_core.crawl.url import host_of

_DRAIN_BYTES = 16_384
_CHUNK_BYTES = 65_536

BodyState = Literal["whole", "cut", "unread"]


@dataclass(frozen=True)
class Response:
    """An answer. `body` is without transfer and content encoding; `headers` as they were sent.

    `body_state`: `cut` when it was longer than asked for, `unread` when nobody wanted it.
    `sent_at` is in seconds since the epoch; `answered_at` on the monotonic clock, when the
    headers had come, and `latency_s` later than it was asked. `address`: the server's IP.
    """

    url: str
    status: int
    reason: str
    version: str
    headers: tuple[tuple[str, str], ...]
    request_headers: tuple[tuple[str, str], ...]
    body: bytes
    body_state: BodyState
    sent_at: float
    answered_at: float
    latency_s: float = 0.0
    address: str = ""

    def header(self, name: str) -> str:
        """All values of a header, joined by commas; empty where it is missing."""
        wanted = name.lower()
        return ", ".join(value for key, value in self.headers if key.lower() == wanted)

    @property
    def location(self) -> str | None:
        """Where a redirect leads; None where it leads to several places at once."""
        places = {value for name, value in self.headers if name.lower() == "location"}
        return next(iter(places), "") if len(places) < 2 else None

    @property
    def media_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.header("Content-Type").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Failure:
    """No answer: what kind of failure, its words, and whether another try makes sense."""

    kind: str
    detail: str
    retryable: bool = True


Wanted = Callable[[int, str], bool]
"""Given status and media type: is the body to be read?"""


def user_agent(settings: CrawlSettings) -> str:
    """The honest User-Agent: who we are, which version, and whom to turn to."""
    contact = settings.contact.strip() or "local demonstration"
    return f"{settings.product_token}/{so8t_core.__version__} (+{contact})"


class _Once:
    """Keeps aiohttp from sending a request again, at once, when a kept connection was closed."""

    def __init__(self) -> None:
        self._sent = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._sent:
            raise aiohttp.ServerDisconnectedError("the connection was closed")
        self._sent = True
        return await handler(request)


class Fetcher:
    """An HTTP client for a crawl: no cookies, no proxies, no redirects, one connection a host."""

    def __init__(self, settings: CrawlSettings, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        connector = aiohttp.TCPConnector(
            resolver=self._guard,
            socket_factory=self._guard.open_socket,
            limit=settings.max_concurrency,
            limit_per_host=1,
            use_dns_cache=False,  # the guard keeps what it has checked
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            max_line_size=16_384,
            max_field_size=32_768,
            timeout=aiohttp.ClientTimeout(
                total=settings.fetch_timeout_s,
                connect=settings.connect_timeout_s,
                sock_read=settings.read_timeout_s,
            ),
            headers={
                "User-Agent": user_agent(settings),
                "Accept": ", ".join((*settings.content_types, "*/*;q=0.1")),
                "Accept-Language": "ja, en;q=0.5",
                "Accept-Encoding": "gzip, deflate",
            },
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()
        await self._guard.close()

    def address(self, host: str) -> str | None:
        """The IP address that a host was last found at; None where nobody asked yet."""
        return self._guard.address(host)

    async def locate(self, host: str) -> None:
        """Look up a host's address without a connection; where it has none, asking it tells why."""
        with suppress(OSError, ValueError):  # TimeoutError is an OSError
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await self._guard.resolve(host)

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        wanted: Wanted,
        conditions: Mapping[str, str] | None = None,
    ) -> Response | Failure:
        """Ask for a canonical URL once. Network trouble comes back as a `Failure`.

        `conditions`: headers such as If-None-Match.
        """
        assert self._session is not None
        sent_at, started_at = time.time(), time.monotonic()
        try:
            self._guard.check_literal(host_of(url))
            async with self._session.get(
                URL(url, encoded=True),
                allow_redirects=False,
                headers=conditions,
                middlewares=(_Once(),),
            ) as answer:
                answered_at = time.monotonic()
                body, state = await _read(answer, max_bytes, wanted)
                times = (sent_at, answered_at, answered_at - started_at)
                address = self._guard.address(host_of(url)) or ""
                return _response(url, answer, body, state, times, address)
        except EncodingRefused as error:
            return Failure("encoding", str(error), retryable=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error)


async def _read(
    answer: aiohttp.ClientResponse, max_bytes: int, wanted: Wanted
) -> tuple[bytes, BodyState]:
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not wanted(answer.status, media_type):
        await _drain(answer)
        return b"", "unread"
    inflate = inflater(answer.headers.get("Content-Encoding", ""))
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
        body += inflate.feed(chunk, max_bytes + 1 - len(body)) if inflate else chunk
        if len(body) > max_bytes:
            answer.close()
            return bytes(body[:max_bytes]), "cut"
    if inflate:
        inflate.check_whole()
    return bytes(body), "whole"


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read a little of a body that nobody wants, so that a short one keeps its connection."""
    size = 0
    async for chunk in answer.content.iter_chunked(_DRAIN_BYTES):
        size += len(chunk)
        if size > _DRAIN_BYTES:
            answer.close()
            return


def _response(
    url: str,
    answer: aiohttp.ClientResponse,
    body: bytes,
    state: BodyState,
    times: tuple[float, float, float],
    address: str,
) -> Response:
    version = answer.version
    return Response(
        url=url,
        status=answer.status,
        reason=(answer.reason or "").encode("ascii", "replace").decode("ascii"),
        version=f"HTTP/{version.major}.{version.minor}" if version else "HTTP/1.1",
        headers=tuple(
            (name.decode("latin-1"), value.decode("utf-8", "replace"))
            for name, value in answer.raw_headers
        ),
        request_headers=tuple(answer.request_info.headers.items()),
        body=body,
        body_state=state,
        sent_at=times[0],
        answered_at=times[1],
        latency_s=times[2],
        address=address,
    )


def _failure(error: Exception) -> Failure:
    """The kind of a network error; certificates and refused addresses don't heal by retrying."""
    refused = _cause(error, AddressRefused)
    if refused is not None:
        return Failure("address-refused", str(refused), retryable=False)
    words = str(error) or type(error).__name__
    if isinstance(error, TimeoutError):
        return Failure("timeout", "no answer in time")
    if isinstance(error, aiohttp.ClientSSLError):
        return Failure("tls", words, retryable=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Failure("dns", words)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failure("connect", words)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failure("broken-body", words)
    if isinstance(error, aiohttp.InvalidURL):
        return Failure("url-malformed", words, retryable=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure("bad-http", words)
    return Failure("disconnected", words)


def _cause(error: BaseException | None, kind: type[AddressRefused]) -> AddressRefused | None:
    while error is not None:
        if isinstance(error, kind):
            return error
        error = error.__cause__ or error.__context__
    return None
