"""TensorBoard's event files, written without a thread and readable after a kill at any moment.

A record is a length, its checksum, an `Event` message, its checksum. Each start of a training opens
a file of its own whose first events say from which step on all that older files hold is void, which
is how TensorBoard is told of a resume.
"""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

VERSION = "brain.Event:2"
_PREFIX = "events.out.tfevents."
_SUFFIX = ".so8t"


def _format() -> tuple[Any, Any, Callable[[bytes], int]]:
    """The messages and the checksum: of tensorboardX, or of TensorBoard where that is there."""
    try:
        from tensorboardX.proto import event_pb2, summary_pb2
        from tensorboardX.record_writer import masked_crc32c
    except ModuleNotFoundError:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import masked_crc32c
    return event_pb2, summary_pb2, masked_crc32c


class EventFile:
    """One process's part of a series in `folder`; points at `first_step` and beyond are new."""

    def __init__(self, folder: Path, first_step: int) -> None:
        self._events, self._summaries, self._checksum = _format()
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a folder's files in the order of their names
        earlier = [path.name.split(".")[3] for path in folder.glob(f"{_PREFIX}*{_SUFFIX}")]
        number = max((int(one) for one in earlier if one.isdecimal()), default=0) + 1
        self.path = folder / f"{_PREFIX}{number:010d}{_SUFFIX}"
        self._file = self.path.open("xb")
        self._write(step=first_step, file_version=VERSION)
        started = self._events.SessionLog(status=self._events.SessionLog.START)
        self._write(step=first_step, session_log=started)

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add the values of a step; they survive the end of the process."""
        summary = self._summaries.Summary()
        for name, value in values.items():
            if math.isfinite(value):
                summary.value.add(tag=name, simple_value=value)
        self._write(step=step, summary=summary)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, **fields: Any) -> None:
        event = self._events.Event(wall_time=time.time(), **fields)
        content: bytes = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        sums = [struct.pack("<I", self._checksum(part)) for part in (length, content)]
        self._file.write(length + sums[0] + content + sums[1])
        self._file.flush()
