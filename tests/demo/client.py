from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from so8t_core.demo.site import DemoSite


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    site: DemoSite,
    url: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    session: aiohttp.ClientSession | None = None,
) -> Answer:
    """One request without following redirects; the name goes into the Host header."""
    host, _, path = url.removeprefix("http://").partition("/")
    address, port = site.address
    own = session or aiohttp.ClientSession()
    try:
        async with own.request(
            method,
            f"http://{address}:{port}/{path}",
            headers={"Host": host, **(headers or {})},
            allow_redirects=False,
        ) as response:
            body = await response.read()
            return Answer(response.status, response.headers, body)
    finally:
        if session is None:
            await own.close()
