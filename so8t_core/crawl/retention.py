"""Removing what was kept too long: WARC files beyond their retention."""

from __future__ import annotations

import time
from pathlib import Path

from so8t_core.contract.files import fsync_path

_DAY_S = 86_400


def expired(folder: Path, retention_days: int, now: float | None = None) -> list[Path]:
    """The WARC files in a crawl's archive folder that were last written before the retention."""
    moment = time.time() if now is None else now
    limit = moment - retention_days * _DAY_S
    return [path for path in sorted(folder.glob("*.warc*")) if path.stat().st_mtime < limit]


def remove(paths: list[Path]) -> int:
    """Remove files, durably; how many bytes they had."""
    size_bytes = 0
    for path in paths:
        size_bytes += path.stat().st_size
        path.unlink()
    for folder in {path.parent for path in paths}:
        fsync_path(folder)
    return size_bytes
