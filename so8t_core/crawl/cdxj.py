"""The CDXJ index: which record answers for which URL and moment, sorted by a key of the URL.

Its lines are those that pywb's own indexer makes of the same records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

_WWW = re.compile(r"^www\d*\.")
_ADDRESS = re.compile(r"[\d.]+|\[.*\]")
_AS_LINE = json.JSONEncoder(ensure_ascii=False).encode
_DEFAULT_PORTS = {"http": 80, "https": 443}


def url_key(url: str) -> str:
    """The sort-friendly key of a canonical URL: host back to front, parameters in order."""
    page, _, query = url.lower().partition("?")
    scheme, _, authority, path = page.split("/", 3)
    query = "&".join(sorted(query.split("&")))
    return f"{_key_of(scheme, authority)})/{path.rstrip('/')}{f'?{query}' if query else ''}"


@lru_cache(maxsize=1024)
def _key_of(scheme: str, authority: str) -> str:
    parts = urlsplit(f"{scheme}//{authority}")
    host = _WWW.sub("", parts.hostname or "")
    if not _ADDRESS.fullmatch(host):
        host = ",".join(reversed(host.split(".")))
    port = parts.port if parts.port not in (None, _DEFAULT_PORTS.get(parts.scheme)) else None
    return f"{host}:{port}" if port else host


def cdxj_line(page: dict[str, Any]) -> Iterator[str]:
    """The lines of one page of the index: its response, and its revisit where it has one."""
    moment = re.sub(r"\D", "", page["fetched_at"])[:14]
    place = {
        "url": page["url"],
        "mime": page["content_type"],
        "status": str(page["status"]),
        "digest": page["digest"].removeprefix("sha1:"),
        "length": str(page["length"]),
        "offset": str(page["offset"]),
        "filename": page["warc"],
    }
    yield f"{url_key(page['url'])} {moment} {_AS_LINE(place)}"
    revisit = page.get("revisit")
    if revisit:
        again = re.sub(r"\D", "", revisit["date"])[:14]
        place |= {"mime": "warc/revisit", "length": str(revisit["length"])}
        place["offset"] = str(revisit["offset"])
        del place["status"]
        yield f"{url_key(page['url'])} {again} {_AS_LINE(place)}"
