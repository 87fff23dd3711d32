"""The whole crawl against a server with every fault: judged by the server's own log."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from .faults import CRAWL_DELAY_S, DELAY_S, RETRY_AFTER_S, answers, retry_gaps_s, to, violations
from .site import Site, html
from .trial import REBINDING, kept, outcome_of, quick

pytestmark = pytest.mark.xdist_group("faults")  # one crawl for all of them

REPOSITORY = Path(__file__).parents[2]
_LIMIT_MB = 150


class Crawled:
    """The finished crawl: its folder, the server, and the crawler's peak memory in MB."""

    def __init__(self, root: Path, site: Site, peak_mb: float) -> None:
        self.root = root
        self.site = site
        self.peak_mb = peak_mb


@pytest.fixture(scope="module")
def plain_on_tls_port() -> Iterator[int]:
    """A port that answers a TLS hello with words."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory, plain_on_tls_port: int) -> Crawled:
    root = tmp_path_factory.mktemp("faults")
    with Site(answers()) as site:
        inward = {
            "http://inward.example/port": to(f"http://127.0.0.1:{site.port}/"),
            "http://inward.example/rebinding": to(f"http://{REBINDING}:{site.port}/"),
            "http://inward.example/": html(
                "/loopback",
                "/metadata",
                "/decimal",
                "/mapped",
                "/port",
                "/rebinding",
                "/file",
                "/good",
            ),
        }
        site.answers.update(inward)
        hosts = sorted({url.split("/")[2] for url in site.answers})
        settings = quick(
            site,
            *(f"http://{host}/" for host in hosts),
            "https://badtls.example/",
            "http://unheard.invalid/",
            allowed_hosts=[*hosts, "badtls.example", "127.0.0.1", "169.254.169.254", REBINDING],
            dns_ttl_s=0,
            resolve={**site.resolve, "badtls.example": f"127.0.0.1:{plain_on_tls_port}"},
            delay_s=DELAY_S,
            max_concurrency=40,
            max_retries=1,
            retry_base_s=0.1,
            max_retry_wait_s=5,
            connect_timeout_s=1,
            read_timeout_s=0.5,
            fetch_timeout_s=1.5,
            breaker_failures=20,
            max_page_bytes=1_000_000,
            max_depth=6,
            max_urls_per_calendar=8,
            max_urls_per_query_page=8,
        )
        command = [sys.executable, "-W", "error", "-m", "tests.crawl.trial", str(root)]
        ended = subprocess.run(
            [*command, json.dumps(settings)], cwd=REPOSITORY, stdout=subprocess.PIPE, timeout=120
        )
        assert ended.returncode == 0
    peak_mb = float((root / "peak_mb").read_text())
    return Crawled(root, site, peak_mb)


def test_the_servers_log_shows_no_violation(crawled: Crawled) -> None:
    assert violations(crawled.site) == []


def test_every_open_host_gave_its_good_page(crawled: Crawled) -> None:
    closed = ("robots4", "robots5", "robotssilent", "robotsreset", "robotsloop", "away", "nofollow")
    hosts = {url.split("/")[2] for url in crawled.site.answers}
    expected = {f"http://{host}/good" for host in hosts if not host.startswith(closed)}
    assert expected <= set(kept(crawled.root))


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://busy.example/c", ("failed", "http-429")),
        ("http://away.example/b", ("deferred", "retry-after")),
        ("http://robots429.example/", ("refused", "robots-unreachable")),
        ("http://robots503.example/", ("refused", "robots-unreachable")),
        ("http://robotssilent.example/", ("refused", "robots-unreachable")),
        ("http://robotsreset.example/", ("refused", "robots-unreachable")),
        ("http://robotsloop.example/", ("refused", "robots-unreachable")),
        ("http://unheard.invalid/", ("refused", "scope")),
        ("https://badtls.example/", ("refused", "robots-unreachable")),
        ("http://bodies.example/endless", ("refused", "too-large")),
        ("http://bodies.example/loris", ("failed", "network-timeout")),
        ("http://bodies.example/drip", ("failed", "network-timeout")),
        ("http://bodies.example/silent", ("failed", "network-timeout")),
        ("http://bodies.example/reset", ("failed", "network-disconnected")),
        ("http://bodies.example/short", ("failed", "network-broken-body")),
        ("http://bodies.example/image", ("refused", "content-type")),
        ("http://bombs.example/gzip", ("refused", "too-large")),
        ("http://bombs.example/deflate", ("refused", "too-large")),
        ("http://bombs.example/brotli", ("failed", "network-encoding")),
        ("http://bombs.example/zstd", ("failed", "network-encoding")),
        ("http://bombs.example/twice", ("failed", "network-encoding")),
        ("http://bombs.example/torn", ("failed", "network-encoding")),
        ("http://bombs.example/honest", ("done", None)),
        ("http://127.0.0.1/", ("refused", "robots-unreachable")),
        ("http://cookies.example/wall", ("done", "redirect")),
        ("http://traps.example/loop/more/more/more/more/", ("refused", "path-loop")),
        ("http://nofollow.example/good", ("", "")),
    ],
)
def test_each_fault_ends_with_its_reason(
    crawled: Crawled, url: str, outcome: tuple[str, str | None]
) -> None:
    if outcome == ("", ""):
        assert url not in crawled.site.urls
    else:
        assert outcome_of(crawled.root, url)[:2] == outcome


def test_a_name_that_moves_inward_after_the_first_look_is_not_followed(crawled: Crawled) -> None:
    """It leads to the port of this very server, whose log shows whoever comes."""
    port = crawled.site.port
    for host in (REBINDING, "127.0.0.1"):
        assert not [url for url in crawled.site.urls if url.startswith(f"http://{host}")]
        assert outcome_of(crawled.root, f"http://{host}:{port}/")[:2] == (
            *("refused", "robots-unreachable"),
        )
    with closing(sqlite3.connect(crawled.root / "crawl" / "frontier.db")) as db:
        query = "SELECT reason FROM robots WHERE origin = ?"
        (why,) = db.execute(query, (f"http://{REBINDING}:{port}",)).fetchone()
    assert why == f"address-refused: {REBINDING} has no public address, only 127.0.0.1"


def test_traps_end(crawled: Crawled) -> None:
    asked = [url for url in crawled.site.pages_asked() if "traps.example" in url]
    assert sum("/cal/" in url for url in asked) <= 8
    assert sum("/list" in url for url in asked) <= 8
    assert sum("/loop" in url for url in asked) <= 4


def test_who_asks_for_time_gets_it(crawled: Crawled) -> None:
    site = crawled.site
    for path in ("a", "b"):
        assert min(retry_gaps_s(site, f"http://patient.example/{path}")) >= RETRY_AFTER_S
    assert min(site.gaps_s("slow.example")[1:]) >= CRAWL_DELAY_S


def test_memory_stays_flat(crawled: Crawled) -> None:
    assert crawled.peak_mb < _LIMIT_MB
