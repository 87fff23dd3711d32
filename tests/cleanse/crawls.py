"""A crawl folder made by hand: WARC files by warcio and the page index beside them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.contract.settings.cleanse import CleanseSettings
from so8t_core.phases.base import PauseGate, PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter


@dataclass(frozen=True)
class Crawled:
    """One page of the crawl."""

    url: str
    body: str
    charset: str = "utf-8"
    licence: str = "CC-BY-4.0"
    decision: str = "allow"


def write_crawl(folder: Path, pages: Sequence[Crawled]) -> None:
    """Write one WARC file and its index."""
    (folder / "warc").mkdir(parents=True)
    rows = []
    with (folder / "warc" / "pages-00000.warc.gz").open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for page in sorted(pages, key=lambda page: page.url):
            payload = page.body.encode(page.charset)
            start = file.tell()
            record = writer.create_warc_record(
                page.url,
                "response",
                payload=io.BytesIO(payload),
                http_headers=StatusAndHeaders(
                    "200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1"
                ),
            )
            writer.write_record(record)
            record.raw_stream.close()
            rows.append(
                {
                    "url": page.url,
                    "status": 200,
                    "sha256": hashlib.sha256(payload).hexdigest(),
                    "warc": "pages-00000.warc.gz",
                    "offset": start,
                    "length": file.tell() - start,
                    "charset": page.charset,
                    "title": "",
                    "licence": {
                        "id": page.licence,
                        "url": "",
                        "evidence": "link",
                        "decision": page.decision,
                    },
                    "content_type": "text/html",
                    "robots": "allow",
                }
            )
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "pages.jsonl").write_text(lines, encoding="utf-8")


def context(
    root: Path, gate: PauseGate | None = None, **cleanse: object
) -> tuple[PhaseContext, RecordingEmitter]:
    """The context of a cleanse phase whose crawl is done."""
    emit = RecordingEmitter()
    crawl = Manifest(
        phase="crawl",
        run=root.name,
        settings_sha256="",
        inputs={},
        digest="0" * 64,
        outputs=(),
        figures={},
        attempt=1,
        started_at=utc_now(),
        finished_at=utc_now(),
        active_s=0.0,
    )
    settings = Settings(cleanse=CleanseSettings.model_validate(cleanse))
    ctx = PhaseContext(
        RunDir(root), "cleanse", settings, {"crawl": crawl}, emit, gate or OpenGate()
    )
    return ctx, emit
