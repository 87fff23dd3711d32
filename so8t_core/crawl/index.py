"""The page index: one line of JSON for each kept page, the CDXJ index, and the pages' digest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from so8t_core.contract.files import replacing
from so8t_core.crawl.assess import Assessment
from so8t_core.crawl.cdxj import cdxj_line
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.masking import mask_url
from so8t_core.crawl.records import warc_date
from so8t_core.crawl.warc import Place

FILE_NAME = "pages.jsonl"
CDXJ_NAME = "index.cdxj"


def page_line(
    url: str, status: int, body_sha256: str, content_type: str, robots: str, found: Assessment
) -> dict[str, Any]:
    """What the index says of a page, all but the place of its record.

    `sha256` covers the body without transfer and content encoding; `charset` is a Python codec.
    """
    return {
        "url": url,
        "status": status,
        "sha256": body_sha256,
        "content_type": content_type,
        "charset": found.decoded.charset,
        "charset_source": found.decoded.source,
        "undecodable_chars": found.decoded.errors,
        "title": found.page.title,
        "canonical": found.page.canonical,
        "licence": dict(vars(found.licence)),
        "directives": dict(found.directives),
        "robots": robots,
    }


def placed(line: dict[str, Any], place: Place) -> dict[str, Any]:
    """The line with where the response record lies: file name, offset and length in bytes."""
    return {**line, **vars(place)}


def fetched(answer: Response, digest: str) -> dict[str, Any]:
    """What the line says of the fetch: when, the payload's WARC digest, and what to revisit with.

    Empty values where the server named neither ETag nor date.
    """
    return {
        "fetched_at": warc_date(answer.sent_at),
        "digest": digest,
        "etag": answer.header("ETag"),
        "last_modified": answer.header("Last-Modified"),
    }


def write_index(frontier: Frontier, folder: Path) -> str:
    """Write both indexes, sorted by URL, and give the digest.

    The digest (hex SHA-256) covers each page's URL and payload alone: neither times nor places.
    Personal data in URLs is masked in both files, not in the digest. Pages whose URLs differ in
    what is masked alone are told apart by a number.
    """
    digest = hashlib.sha256()
    masked: Counter[str] = Counter()
    keys: list[str] = []
    with replacing(folder / FILE_NAME) as partial, partial.open("w", encoding="utf-8") as file:
        partial.chmod(0o600)
        for line in frontier.census.pages():
            page = json.loads(line)
            digest.update(f"{page['url']}\t{page['sha256']}\n".encode())
            shown = {name: mask_url(page[name]) for name in ("url", "canonical") if page[name]}
            if any(page[name] != value for name, value in shown.items()):
                if shown["url"] != page["url"]:
                    masked[shown["url"]] += 1
                    if (number := masked[shown["url"]]) > 1:
                        shown["url"] += f"#{number}"
                page |= shown
                line = json.dumps(page, ensure_ascii=False, sort_keys=True)
            file.write(line + "\n")
            keys.extend(cdxj_line(page))
    with replacing(folder / CDXJ_NAME) as partial, partial.open("w", encoding="utf-8") as file:
        partial.chmod(0o600)
        file.writelines(f"{key}\n" for key in sorted(keys))
    return digest.hexdigest()
