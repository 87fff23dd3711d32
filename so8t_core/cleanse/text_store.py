"""Files of which single stretches are read: texts by their numbers, lines by their places.

Descriptors are closed with the object that holds them.
"""

from __future__ import annotations

import os
import weakref
from array import array
from pathlib import Path

_BUFFER_BYTES = 1 << 20


class Stretch:
    """A file that is open for reading anywhere, and for writing at its end."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC if create else os.O_RDONLY
        self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._waiting = bytearray()
        weakref.finalize(self, os.close, self._descriptor)

    def append(self, raw: bytes) -> None:
        """Write at the end."""
        self._waiting += raw
        if len(self._waiting) >= _BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand over to the system what was appended."""
        view = memoryview(self._waiting)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._waiting = bytearray()

    def read(self, start: int, size: int) -> bytes:
        """A stretch of the file."""
        if self._waiting:
            self.flush()
        return os.pread(self._descriptor, size, start)


class TextStore:
    """Texts in one file, each found by its number; memory holds where each ends, 8 bytes."""

    def __init__(self, path: Path) -> None:
        self._file = Stretch(path, create=True)
        self._ends = array("Q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def add(self, text: str) -> int:
        """Keep a text; its number."""
        raw = text.encode("utf-8", "surrogatepass")
        self._file.append(raw)
        self._ends.append(self._ends[-1] + len(raw))
        return len(self) - 1

    def __getitem__(self, number: int) -> str:
        start, end = self._ends[number], self._ends[number + 1]
        return self._file.read(start, end - start).decode("utf-8", "surrogatepass")
