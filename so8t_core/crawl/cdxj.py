"""The CDXJ index: which record answers for which URL and moment, sorted by a key of the URL.

Its lines are those that pywb's own indexer makes of the same records.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

_WWW = re.compile(r"^www\d*\.")
_ADDRESS = re.compile(r"[\d.]+|\[.*\]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def url_key(url: str) -> str:
    """The sort-friendly key of a URL: host back to front, lower case, parameters in order."""
    parts = urlsplit(url.lower())
    host = _WWW.sub("", parts.hostname or "")
    if not _ADDRESS.fullmatch(host):
        host = ",".join(reversed(host.split(".")))
    port = parts.port if parts.port not in (None, _DEFAULT_PORTS.get(parts.scheme)) else None
    query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
    path = parts.path.rstrip("/") or "/"
    return f"{host}{f':{port}' if port else ''}){path}{f'?{query}' if query else ''}"


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
    yield f"{url_key(page['url'])} {moment} {json.dumps(place, ensure_ascii=False)}"
    revisit = page.get("revisit")
    if revisit:
        again = re.sub(r"\D", "", revisit["date"])[:14]
        place |= {"mime": "warc/revisit", "length": str(revisit["length"])}
        place["offset"] = str(revisit["offset"])
        del place["status"]
        yield f"{url_key(page['url'])} {again} {json.dumps(place, ensure_ascii=False)}"
