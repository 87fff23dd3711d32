"""Documents that others have gathered: JSONL files and Hugging Face data sets, taken in as pages.

Each becomes a page of the archive, so that cleansing treats it like all the others: text is wrapped
in a little HTML, its licence as a mark on it.
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import InputInvalid, InputMissing
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.assess import UNREADABLE, assess, unread
from so8t_core.crawl.fetcher import Response
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.index import fetched, page_line, placed
from so8t_core.crawl.inputs import jsonl_files
from so8t_core.crawl.records import digest, page_records
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.url import BadUrl, canonicalise, host_of
from so8t_core.crawl.warc import Archive
from so8t_core.crawl.windows import Entry
from so8t_core.phases.base import PhaseContext

_AT_ONCE = 500
_TAKEN = "documents_taken"
_HEADERS = (("Content-Type", "text/html; charset=utf-8"),)
_OWN_HOST = "documents.invalid"

Document = Mapping[str, Any]


def take_documents(
    ctx: PhaseContext, settings: CrawlSettings, frontier: Frontier, archive: Archive
) -> None:
    """Take in every document.

    What was taken before a kill is not taken again. Raises `InputMissing` where an input is not
    there, and `InputInvalid` for a line that is no JSON object.
    """
    done = int(frontier.tallies().get(_TAKEN, 0))
    for number, (name, document) in enumerate(_documents(settings)):
        if number < done:
            continue
        _take(name, document, settings, frontier, archive)
        frontier.tally(_TAKEN)
        if number % _AT_ONCE == _AT_ONCE - 1:
            _commit(frontier, archive)
            ctx.pause.point()
            counts = frontier.census.counts()
            ctx.emit.progress(number + 1, None, "documents")
            refused = frontier.census.rules("refused")
            ctx.emit.stats({"frontier": counts, "refusals": refused})
    _commit(frontier, archive)


def _commit(frontier: Frontier, archive: Archive) -> None:
    pending, ends = archive.take()
    archive.write(pending)
    for name, size_bytes in ends.items():
        frontier.set_archive(name, size_bytes)
    frontier.commit()


def _documents(settings: CrawlSettings) -> Iterator[tuple[str, Document]]:
    """Each document with a name of its own."""
    if settings.source == "dataset":
        for number, row in enumerate(_rows(settings)):
            yield f"{Path(settings.dataset).name}/{number}", row
        return
    for called, path in jsonl_files(settings):
        opener = gzip.open if path.name.endswith(".gz") else open
        try:
            with opener(path, "rt", encoding="utf-8-sig", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield f"{called}/{number}", _parsed(line, f"{path}:{number}")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputInvalid(
                f"The file is not a whole gzip file: {error}.",
                where=str(path),
                hint="Fetch or pack it again.",
            ) from error


def _parsed(line: str, where: str) -> Document:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputInvalid(
            "A line is no JSON object.",
            where=where,
            hint="Each line must be one object with a text; remove or repair this one.",
        )
    return value


def _rows(settings: CrawlSettings) -> Iterator[Document]:
    """The rows of a data set: saved by `datasets`, a Parquet file or folder, or on the hub."""
    import datasets

    path = Path(settings.dataset)
    if (path / "state.json").is_file():
        yield from datasets.load_from_disk(str(path))
        return
    if path.exists():
        files = sorted(map(str, path.rglob("*.parquet"))) if path.is_dir() else [str(path)]
        if not files:
            raise InputMissing(
                "The folder holds no data set.",
                where=str(path),
                hint="Give a folder with Parquet files, or one that `save_to_disk` wrote.",
            )
        found = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    else:
        found = datasets.load_dataset(
            settings.dataset, split=settings.dataset_split, streaming=True
        )
    yield from found


def _take(
    name: str, document: Document, settings: CrawlSettings, frontier: Frontier, archive: Archive
) -> None:
    said = document.get(settings.url_field)
    url = canonicalise(said, max_chars=settings.max_url_chars) if isinstance(said, str) else None
    if url is None or isinstance(url, BadUrl):
        own = canonicalise(f"https://{_OWN_HOST}/{name}")
        assert isinstance(own, str)
        url = own
    if frontier.known(url):
        frontier.tally("links.repeated")
        return
    entry = Entry(url, "page", tier=2, depth=0, hops=0, tries=0)
    frontier.add([(url, host_of(url), entry.tier, None)], depth=0)
    text = document.get(settings.text_field)
    if not isinstance(text, str) or not text.strip():
        frontier.fail(entry, Refusal("no-text", f"field {settings.text_field}", name))
        return
    body = _as_page(text, document.get(settings.licence_field))
    if len(body) > settings.max_page_bytes:
        limit = f"more than {settings.max_page_bytes} bytes"
        frontier.refuse(entry, Refusal("too-large", "crawl.max_page_bytes", limit))
        return
    try:
        found = assess(url, _HEADERS, body, settings)
    except UNREADABLE as error:
        frontier.refuse(entry, unread(error))
        return
    if found.refusal is not None:
        frontier.refuse(entry, found.refusal)
        return
    sha256 = hashlib.sha256(body).hexdigest()
    line = page_line(url, 200, sha256, "text/html", f"not asked ({settings.source} input)", found)
    answer = Response(
        url, 200, "OK", "HTTP/1.1", _HEADERS, (), body, "whole", time.time(), time.monotonic()
    )
    payload_digest = digest(body)
    info = {"converted-from": name, "payload-sha256": sha256}
    place = archive.append(page_records(answer, payload_digest, info))
    frontier.keep(entry, placed(line | fetched(answer, payload_digest), place))


def _as_page(text: str, licence: object) -> bytes:
    """A document as HTML; one that is HTML already stays as it is."""
    if text.lstrip()[:15].lower().startswith(("<!doctype html", "<html")):
        return text.encode("utf-8", "replace")
    mark = f'<meta name="dc.rights" content="{html.escape(str(licence))}">' if licence else ""
    paragraphs = "".join(f"<p>{html.escape(line)}</p>\n" for line in text.splitlines() if line)
    head = f'<!doctype html><html lang="ja"><head><meta charset="utf-8">{mark}</head>'
    return f"{head}<body>\n{paragraphs}</body></html>".encode("utf-8", "replace")
