"""What engine and phase process say to each other: JSON lines over a socket pair.

phase -> engine
    {"t": "drafts", "drafts": [[kind, payload], ...], "ack": n or null}
    {"t": "quiescing"} {"t": "paused"} {"t": "resumed"}
    {"t": "end", "status": "done" | "failed" | "paused", ...}
engine -> phase
    {"t": "want", "pause": null | "soft" | "hard", "live": {...}}
    {"t": "ack", "ack": n}

When either end is gone the other sees the end of the stream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from so8t_core.contract.rundir import RunDir

WORKER_MARK = "SO8T_WORKER_OF"
"""Environment variable that marks every process of a phase with its run."""


def run_mark(run: RunDir) -> str:
    """What identifies a run's directory on this machine, however it is called or reached."""
    status = run.root.stat()
    return f"{status.st_dev}:{status.st_ino}"


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
