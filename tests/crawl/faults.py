"""A server with every fault that crawlers meet, which keeps its own log to judge them by.

Hosts are told apart by the Host header; each host is one kind of trouble. `Faults.answers` goes
into a `Site`; `violations` reads the site's log.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from .site import OWNERS_FILES, Answer, Reply, Seen, Site, html

FORBIDDEN = ("/no", "/private", "/behind-nofollow", "/search")
"""Beginnings of paths that no host allows: by robots.txt, or by nofollow alone."""

RULES = "User-agent: *\nDisallow: /no\nDisallow: /private\nDisallow: /search\n"
BOMB_BYTES = 300_000_000
DELAY_S = 0.05
CRAWL_DELAY_S = 0.25
RETRY_AFTER_S = 1
MB = 1_000_000

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def text(body: str, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body=body.encode(), headers={"Content-Type": "text/plain", **named})


def to(location: str, status: int = 302) -> Reply:
    return Reply(status, headers={"Location": location})


def _bomb() -> bytes:
    """A gzip member that unfolds to 300 MB of zeros."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    piece = b"\0" * MB
    parts = [packer.compress(piece) for _ in range(BOMB_BYTES // MB)]
    return b"".join([*parts, packer.flush()])


def raw(*parts: bytes, pause_s: float = 0.0) -> Handler:
    """Writes bytes to the connection as they are, and closes it."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        for part in parts:
            request.transport.write(part)
            await asyncio.sleep(pause_s)
        request.transport.close()
        return web.Response()

    return answer


def endless(piece: bytes, first: str = "") -> Handler:
    """A body that never ends."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/html"})
        await stream.prepare(request)
        await stream.write(first.encode())
        while True:
            await stream.write(piece)
            await asyncio.sleep(0)

    return answer


async def silent(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError


async def reset(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cookie_wall(request: web.BaseRequest) -> web.StreamResponse:
    if "seen=1" in request.headers.get("Cookie", ""):
        return web.Response(text="<p>let in</p>", content_type="text/html")
    return web.Response(status=302, headers={"Location": request.path_qs, "Set-Cookie": "seen=1"})


async def calendar(request: web.BaseRequest) -> web.StreamResponse:
    """Every month links to the next one, for ever."""
    year, month = (int(part) for part in request.path.split("/")[2:4])
    after = f"/cal/{year + month // 12}/{month % 12 + 1:02}"
    return web.Response(text=f'<p>月</p><a href="{after}">次</a>', content_type="text/html")


async def sessions(request: web.BaseRequest) -> web.StreamResponse:
    """Every visit gets links with a new session and a new order."""
    number = int(request.query.get("n", "0")) + 1
    links = "".join(
        f'<a href="/list?n={number}{more}">x</a>'
        for more in (f"&PHPSESSID={number:032x}", f"&sort={number}", f"&{'&'.join('abcdefghi')}")
    )
    return web.Response(text=f"<p>一覧</p>{links}", content_type="text/html")


async def loop_path(request: web.BaseRequest) -> web.StreamResponse:
    link = f'<a href="{request.path.rstrip("/")}/more/">x</a>'
    return web.Response(text=f"<p>奥</p>{link}", content_type="text/html")


def _headed(kind: str, body: bytes) -> Reply:
    return Reply(body=body, headers={"Content-Type": "text/html", "Content-Encoding": kind})


def answers() -> dict[str, Answer]:
    """All hosts; `http://HOST/` is where each begins."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    pages: dict[str, Answer] = {}

    def host(name: str, robots: Answer = text(RULES), **paths: Answer) -> None:  # noqa: B008
        base = f"http://{name}.example"
        pages[f"{base}/robots.txt"] = robots
        links = [f"/{path}" for path in paths] + ["/no/1", "/private/x?y", "/search?q=1", "/good"]
        pages.setdefault(f"{base}/", html(*links))
        pages[f"{base}/good"] = html(text=f"良い頁 {name}")
        pages.update({f"{base}/{path}": answer for path, answer in paths.items()})

    host("busy", a=[Reply(429), html()], b=[Reply(503), html()], c=Reply(429))
    later = {"Retry-After": str(RETRY_AFTER_S)}
    host("patient", a=[Reply(429, headers=later), html()], b=[Reply(503, headers=later), html()])
    host("away", a=Reply(429, headers={"Retry-After": "86400"}), b=html(), c=html())
    host("slow", text(RULES + f"Crawl-delay: {CRAWL_DELAY_S}\n"), a=html(), b=html(), c=html())
    for status in (429, 500, 503):
        host(f"robots{status}", Reply(status), a=html())
    host("robotssilent", silent, a=html())
    host("robotsreset", reset, a=html())
    host("robotsloop", to("/robots.txt"), a=html())
    host("robotsbig", text(RULES + "#" * 1_100_000 + "\nDisallow: /\n"), a=html())
    host("robotsendless", endless(b"#" * 65_536, RULES), a=html())
    host("robotsgone", Reply(404), a=html())
    host(
        "bodies",
        endless=endless(b"x" * 65_536),
        loris=raw(head + b"Content-Length: 99\r\n\r\n", *(b"x",) * 200, pause_s=0.2),
        drip=raw(*(bytes([octet]) for octet in head * 9), pause_s=0.2),
        silent=silent,
        reset=reset,
        short=raw(head + b"Content-Length: 999\r\n\r\nshort"),
        long=raw(head + b"Content-Length: 3\r\n\r\n<p>longer than it says</p>"),
        chunks=raw(head + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\nx\r\n"),
        nothttp=raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
        headers=raw(head + b"X: " + b"y" * 200_000 + b"\r\n\r\n"),
        image=Reply(body=b"\x89PNG" * 9000, headers={"Content-Type": "image/png"}),
    )
    bomb = _bomb()
    host(
        "bombs",
        gzip=_headed("gzip", bomb),
        deflate=_headed("deflate", zlib.compress(b"\0" * 50 * MB, 9)),
        brotli=_headed("br", b"\x1b\xff\xff\xff\x0f" + b"\0" * 5000),
        zstd=_headed("zstd", b"\x28\xb5\x2f\xfd" + b"\0" * 5000),
        twice=_headed("gzip, gzip", gzip.compress(bomb)),
        torn=_headed("gzip", gzip.compress(b"<p>" + bytes(range(256)) * 400)[:-400]),
        honest=_headed("gzip", gzip.compress(html(text="圧縮").body)),
    )
    host(
        "inward",
        loopback=to("http://127.0.0.1/"),
        metadata=to("http://169.254.169.254/latest/meta-data/"),
        decimal=to("http://2130706433/"),
        mapped=to("http://[::ffff:127.0.0.1]/"),
        file=to("file:///etc/passwd"),
    )
    host("traps", **{"cal/2026/01": calendar, "list?n=0": sessions, "loop/": loop_path})
    pages.update(_prefixed("http://traps.example/cal/", calendar))
    pages.update({f"http://traps.example/loop/{'more/' * deep}": loop_path for deep in range(9)})
    host("cookies", wall=cookie_wall)
    host("nofollow")
    pages["http://nofollow.example/"] = html(
        "/good", head='<meta name="robots" content="nofollow">'
    )
    pages["http://nofollow.example/good"] = html(text="よい")
    return pages


def _prefixed(prefix: str, handler: Handler) -> dict[str, Answer]:
    """A handler for the months of a hundred years."""
    return {
        f"{prefix}{year}/{month:02}": handler
        for year in range(1990, 2090)
        for month in range(1, 13)
    }


def violations(site: Site, delay_s: float = DELAY_S) -> list[str]:
    """Everything that the server's own log shows and that a polite crawler does not do."""
    found = [
        f"{seen.url} is forbidden"
        for seen in site.log
        if _forbidden(seen.url) and "robotsgone" not in seen.url
    ]
    hosts = {seen.url.split("/")[2] for seen in site.log}
    for host in sorted(hosts):
        least_s = CRAWL_DELAY_S if host.startswith("slow") else delay_s
        own = [seen for seen in site.log if seen.url.split("/")[2] == host]
        for before, after in zip(own, own[1:], strict=False):
            # the first request brings the Crawl-delay: it cannot be known before
            wanted_s = delay_s if before.url.endswith("/robots.txt") else least_s
            if after.came_at - before.came_at < wanted_s:
                found.append(f"{after.url} came {after.came_at - before.came_at:.3f} s after")
        if host.startswith("robots") and not host.startswith(
            ("robotsbig", "robotsend", "robotsgo")
        ):
            found += [f"{seen.url} without permission" for seen in own if _is_page(seen)]
    if site.most_at_once > 1:
        found.append(f"{site.most_at_once} requests to a host at once")
    return found


def _forbidden(url: str) -> bool:
    return ("/" + url.split("/", 3)[3]).startswith(FORBIDDEN)


def _is_page(seen: Seen) -> bool:
    return not seen.url.endswith(OWNERS_FILES)


def retry_gaps_s(site: Site, url: str) -> list[float]:
    """For each further request to a URL, how long its host was left alone before it."""
    host = url.split("/")[2]
    own = [seen for seen in site.log if seen.url.split("/")[2] == host]
    tried = [place for place, seen in enumerate(own) if seen.url == url]
    return [own[place].came_at - own[place - 1].came_at for place in tried[1:]]
