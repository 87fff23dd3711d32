"""Numbers by the million on disk: records by ranges of their key, one range at a time in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_PARTS = 64
_BUFFERED = 1 << 16  # records in memory until they are written

Records = npt.NDArray[Any]


class Spill:
    """Records with a field `key` below `bound`, kept in 64 files by the key's range.

    `dtype` is structured; records come back range by range in the order of keys, so that equal keys
    are met together and each range is small.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], bound: int = 1 << 64) -> None:
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self._dtype = dtype
        self._width = np.uint64(-(-bound // _PARTS))
        self._waiting: list[Records] = []
        self._waiting_size = 0
        self.count = 0

    def add(self, records: Records) -> None:
        """Take records, whose array is not changed afterwards."""
        self._waiting.append(records)
        self._waiting_size += len(records)
        self.count += len(records)
        if self._waiting_size >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        records = np.concatenate(self._waiting)
        parts = (records["key"] // self._width).astype(np.int64)
        order = np.argsort(parts, kind="stable")
        ends = np.searchsorted(parts[order], np.arange(_PARTS + 1))
        for part in np.unique(parts).tolist():
            with self._path(part).open("ab") as file:
                file.write(records[order[ends[part] : ends[part + 1]]].tobytes())
        self._waiting, self._waiting_size = [], 0

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:02}.bin"

    def ranges(self) -> Iterator[Records]:
        """The records of each range, sorted by all fields from the first to the last."""
        self._flush()
        for part in range(_PARTS):
            if self._path(part).is_file():
                records = np.fromfile(self._path(part), dtype=self._dtype)
                fields = [records[name] for name in reversed(self._dtype.names or ())]
                yield records[np.lexsort(fields)]
