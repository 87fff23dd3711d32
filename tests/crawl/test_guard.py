import socket

import pytest
from aiohttp.abc import ResolveResult

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.fetcher import Failure, Fetcher
from so8t_core.crawl.guard import AddressRefused, Guard

from .site import Site, html


class _Names:
    """A resolver that answers differently each time: a rebinding name."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int, family: int) -> list[ResolveResult]:
        address = self.answers.pop(0)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        pass


async def test_a_name_with_private_addresses_only_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = Guard({}, ttl_s=0.0)
    monkeypatch.setattr(guard, "_resolver", _Names("8.8.8.8", "127.0.0.1"))
    assert (await guard.resolve("rebind.example", 80))[0]["host"] == "8.8.8.8"
    with pytest.raises(AddressRefused, match=r"rebind\.example"):
        await guard.resolve("rebind.example", 80)


async def test_a_checked_address_is_used_until_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guard = Guard({}, ttl_s=60.0)
    monkeypatch.setattr(guard, "_resolver", _Names("8.8.8.8", "127.0.0.1"))
    assert guard.address("rebind.example") is None
    for port in (80, 443):
        (found,) = await guard.resolve("rebind.example", port)
        assert (found["host"], found["port"]) == ("8.8.8.8", port)
    assert guard.address("rebind.example") == "8.8.8.8"


async def test_an_address_for_a_name_is_where_it_is_found() -> None:
    guard = Guard({"a.example": "127.0.0.1:80"})
    found = [guard.address(host) for host in ("a.example", "8.8.8.8", "[2001:4860::8888]", "b.jp")]
    assert found == ["127.0.0.1", "8.8.8.8", "2001:4860::8888", None]


async def test_the_last_check_is_made_when_the_socket_is_opened() -> None:
    guard = Guard({"demo.example": "127.0.0.1:8080"})
    inet = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    with pytest.raises(AddressRefused):
        guard.open_socket((*inet, ("127.0.0.1", 8081)))
    guard.open_socket((*inet, ("127.0.0.1", 8080))).close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "http://[::1]:{port}/", "http://localhost:{port}/"]
)
async def test_a_loopback_server_is_not_reached_unless_its_host_is_mapped(url: str) -> None:
    with Site({"http://a.example/": html()}) as site:
        settings = CrawlSettings(resolve=site.resolve)
        async with Fetcher(settings, Guard(site.resolve)) as fetcher:
            refused = await fetcher.get(
                url.format(port=site.port), max_bytes=1000, wanted=lambda *_: True
            )
            mapped = await fetcher.get("http://a.example/", max_bytes=1000, wanted=lambda *_: True)
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.retryable) == ("address-refused", False)
    assert not isinstance(mapped, Failure)
    assert site.urls == ["http://a.example/"]
