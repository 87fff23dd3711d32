"""A site for measuring crawlers: many hosts on loopback, served from memory by one process.

    python benchmarks/crawl_site.py --hosts 50 --pages 5000 --report site.json

Host N is 127.0.0.N, so that every crawler reaches it without a resolver of its own. Prints its port
on the first line; at the end of its standard input it writes what it saw to `--report`: requests,
distinct pages, requests to disallowed URLs, and when the first request came (epoch seconds).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

FAN_OUT = 10
PAGE_CHARS = 1_500
_WORDS = (
    "収集",
    "言葉",
    "図書館",
    "です。",
    "ました。",
    "の",
    "は",
    "文章",
    "ひらがな",
    "カタカナ",
    "記録",
)


def host(number: int) -> str:
    """The name of a host; numbers start at 0."""
    return f"127.0.0.{number + 1}"


def links_of(place: int, hosts: int, each: int, port: int) -> list[str]:
    """The links of page `place` on a host: a tree, its parent, neighbours, other hosts' roots."""
    below = [
        f"/p/{n}" for n in range(place * FAN_OUT + 1, place * FAN_OUT + FAN_OUT + 1) if n < each
    ]
    near = [f"/p/{(place + step) % each}" for step in (1, 2, 3, 7)]
    roots = [f"http://{host((place + step) % hosts)}:{port}/p/0" for step in (1, 2, 3)]
    return [*below, f"/p/{max(place - 1, 0) // FAN_OUT}", *near, *roots, "/private/diary"]


def page(number: int, place: int, hosts: int, each: int, port: int) -> bytes:
    """One page: about 5 kB of Japanese words and up to twenty links."""
    dice = random.Random(number * 100_003 + place)
    text = "".join(dice.choices(_WORDS, k=PAGE_CHARS // 3))
    anchors = "".join(
        f'<li><a href="{link}">{dice.choice(_WORDS)}</a></li>'
        for link in links_of(place, hosts, each, port)
    )
    return (
        f'<!doctype html><html lang="ja"><head><meta charset="utf-8"><title>頁 {number}-{place}'
        f"</title></head><body><p>{text}</p><ul>{anchors}</ul></body></html>"
    ).encode()


class Book:
    """What is served, and what was asked for."""

    def __init__(self, hosts: int, each: int, crawl_delay_s: float) -> None:
        self._hosts, self._each = hosts, each
        wish = f"Crawl-delay: {crawl_delay_s:g}\n" if crawl_delay_s else ""
        self._robots = f"User-agent: *\n{wish}Disallow: /private/\n".encode()
        self._answers: dict[tuple[str, bytes], bytes] = {}
        self.seen: Counter[tuple[str, bytes]] = Counter()
        self.times: dict[str, list[float]] = {}
        self.first_at = 0.0
        self.last_at = 0.0

    def fill(self, port: int) -> None:
        """Make every page."""
        for number in range(self._hosts):
            name = host(number)
            for place in range(self._each):
                body = page(number, place, self._hosts, self._each, port)
                self._answers[name, b"/p/%d" % place] = _answer(b"text/html; charset=utf-8", body)
            self._answers[name, b"/robots.txt"] = _answer(b"text/plain", self._robots)

    def answer(self, name: str, target: bytes) -> bytes:
        """The bytes to send."""
        self.last_at = time.time()
        self.first_at = self.first_at or self.last_at
        self.seen[name, target] += 1
        self.times.setdefault(name, []).append(self.last_at)
        found = self._answers.get((name, target))
        return found or b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    def report(self) -> dict[str, Any]:
        """What was seen; `times`: of each host's requests (epoch seconds)."""
        pages = {key: count for key, count in self.seen.items() if key[1].startswith(b"/p/")}
        return {
            "requests": sum(self.seen.values()),
            "pages": len(pages),
            "pages_asked_again": sum(pages.values()) - len(pages),
            "robots": sum(n for key, n in self.seen.items() if key[1] == b"/robots.txt"),
            "disallowed": sum(n for key, n in self.seen.items() if key[1].startswith(b"/private")),
            "first_at": self.first_at,
            "last_at": self.last_at,
            "times": self.times,
        }


def _answer(media_type: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (media_type, len(body)) + body


class Conversation(asyncio.Protocol):
    """One connection: requests without bodies, answered in order."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._host = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        *heads, self._rest = (self._rest + data).split(b"\r\n\r\n")
        for head in heads:
            self._transport.write(self._book.answer(self._host, head.split(b" ", 2)[1]))


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    book = Book(arguments.hosts, arguments.pages // arguments.hosts, arguments.crawl_delay)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(book), host(0), 0)
    port = server.sockets[0].getsockname()[1]
    others = [
        await loop.create_server(lambda: Conversation(book), host(number), port)
        for number in range(1, arguments.hosts)
    ]
    book.fill(port)
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for one in (server, *others):
        one.close()
    arguments.report.write_text(json.dumps(book.report()))


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--pages", type=int, default=5_000)
    parser.add_argument("--crawl-delay", type=float, default=0.0)
    parser.add_argument("--report", type=Path, required=True)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
