"""The page index: one line of JSON for each kept page, and the digest over all of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from so8t_core.contract.files import replacing
from so8t_core.crawl.assess import Assessment
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.warc import Place

FILE_NAME = "pages.jsonl"
WARC_FOLDER = "warc"


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
        "licence": asdict(found.licence),
        "directives": dict(found.directives),
        "robots": robots,
    }


def placed(line: dict[str, Any], place: Place) -> dict[str, Any]:
    """The line with where the response record lies: file name, offset and length in bytes."""
    return {**line, **asdict(place)}


def write_index(frontier: Frontier, path: Path) -> str:
    """Write the index, sorted by URL, and give its digest.

    The digest (hex SHA-256) covers each page's URL and payload alone: neither times nor places.
    """
    digest = hashlib.sha256()
    with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
        for line in frontier.census.pages():
            page = json.loads(line)
            digest.update(f"{page['url']}\t{page['sha256']}\n".encode())
            file.write(line + "\n")
    return digest.hexdigest()
