"""The connection guard: no private, loopback, link-local or metadata address is ever connected to.

Names are checked when they are resolved and the checked address is the one connected to, so a name
that changes its address (rebinding) gains nothing; every redirect passes here again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from ipaddress import ip_address

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from so8t_core.crawl.addresses import refused_address

_KNOWN_HOSTS = 20_000


class AddressRefused(OSError):
    """A host's addresses are all ones that a crawler has no business with."""


class Guard(AbstractResolver):
    """Resolves names to public addresses only, and mapped hosts to the address set for them.

    `resolve` of the settings: host -> "IP:PORT". A checked answer is used for `ttl_s`.
    """

    def __init__(self, mapped: Mapping[str, str], ttl_s: float = 300.0) -> None:
        self._mapped = {host: _split(address) for host, address in mapped.items()}
        self._sockets = frozenset(self._mapped.values())
        self._resolver = ThreadedResolver()
        self._ttl_s = ttl_s
        self._known: dict[str, tuple[float, list[ResolveResult]]] = {}

    def address(self, host: str) -> str | None:
        """The IP address that a host is, or was last found at; None where nobody asked yet."""
        if host in self._mapped:
            return self._mapped[host][0]
        known = self._known.get(host)
        if known is None:
            return _literal(host)
        return known[1][0]["host"] if known[1] else None

    def check_literal(self, host: str) -> None:
        """Raise `AddressRefused` where a URL's host is itself an IP address that is refused."""
        if host in self._mapped:
            return
        try:
            refused = refused_address(host.strip("[]"))
        except ValueError:
            return
        if refused:
            raise AddressRefused(f"{host} is not a public address")

    def open_socket(self, address: tuple[object, ...]) -> socket.socket:
        """The connector's socket factory: the last check before a connection is made."""
        family, kind, protocol, _, target = address
        assert isinstance(target, tuple)
        if target[:2] not in self._sockets and refused_address(target[0]):
            raise AddressRefused(f"{target[0]} is not a public address")
        assert isinstance(family, int)
        assert isinstance(kind, int)
        assert isinstance(protocol, int)
        return socket.socket(family, kind, protocol)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of a name. Raises `AddressRefused` where it has none."""
        if host in self._mapped:
            ip, mapped_port = self._mapped[host]
            kind = socket.AF_INET6 if ":" in ip else socket.AF_INET
            return [
                ResolveResult(
                    hostname=host, host=ip, port=mapped_port, family=kind, proto=0, flags=0
                )
            ]
        known = self._known.get(host)
        if known is not None and time.monotonic() < known[0]:
            return [ResolveResult(**{**result, "port": port}) for result in known[1]]
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if not refused_address(result["host"])]
        if found and not public:
            raise AddressRefused(f"{host} has no public address, only {found[0]['host']}")
        if len(self._known) >= _KNOWN_HOSTS:
            self._known.clear()
        self._known[host] = (time.monotonic() + self._ttl_s, public)
        return public

    async def close(self) -> None:
        await self._resolver.close()


def _literal(host: str) -> str | None:
    try:
        return str(ip_address(host.strip("[]")))
    except ValueError:
        return None


def _split(address: str) -> tuple[str, int]:
    ip, _, port = address.rpartition(":")
    return ip.strip("[]"), int(port)
