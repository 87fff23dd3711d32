"""How `so8t export ollama` goes, in a file of its own: told by the command, read by watchers.

It happens beside the engine, perhaps long after it, and the journal has one writer. The file holds
the newest word only.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import write_json
from so8t_core.contract.lock import boot_id
from so8t_core.contract.rundir import RunDir

_NUMBER_OR_NONE = (int, type(None))
_KINDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("name", "host", "state", "step", "boot_id"), str),
    **dict.fromkeys(("done_bytes", "total_bytes"), _NUMBER_OR_NONE),
    "at": (int, float),
    "pid": int,
}


@dataclass(frozen=True)
class Publication:
    """The newest step of one publication. `step` is the last word, or the error's first sentence.

    `cut off` is read and never written: its process is gone without having said how it ended.
    `at`: Unix time in seconds. `done_bytes` of `total_bytes`: of this step, where Ollama counts.
    """

    name: str
    host: str
    state: Literal["running", "done", "failed", "cut off"]
    step: str
    done_bytes: int | None
    total_bytes: int | None
    at: float
    pid: int
    boot_id: str


def write_publication(
    run: RunDir,
    *,
    name: str,
    host: str,
    state: Literal["running", "done", "failed"],
    step: str,
    done_bytes: int | None = None,
    total_bytes: int | None = None,
) -> None:
    """Tell what this process is doing now. Raises `StoreError`."""
    told = Publication(
        name=name,
        host=host,
        state=state,
        step=step,
        done_bytes=done_bytes,
        total_bytes=total_bytes,
        at=time.time(),
        pid=os.getpid(),
        boot_id=boot_id(),
    )
    try:
        write_json(run.publication, asdict(told))
    except OSError as error:
        raise StoreError(
            f"How the model goes into Ollama cannot be told ({error.strerror}).",
            where=str(run.publication),
            hint="The run's folder must be yours to write, and the disk have room.",
        ) from error


def read_publication(run: RunDir) -> Publication | None:
    """The newest word; None where nothing was ever published. Raises `StoreError`."""
    try:
        told = _checked(json.loads(run.publication.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(
            "What was told of putting the model into Ollama cannot be read.",
            where=str(run.publication),
            hint="Remove the file; the next `so8t export ollama` writes it anew.",
        ) from error
    if told.state == "running" and not (told.boot_id == boot_id() and _lives(told.pid)):
        return replace(told, state="cut off")
    return told


def _checked(found: Any) -> Publication:
    """By hand: watchers start without pydantic. Raises ValueError."""
    names = {field.name for field in fields(Publication)}
    if not isinstance(found, dict) or found.keys() != names:
        raise ValueError("other fields than a publication has")
    for name, kind in _KINDS.items():
        if not isinstance(found[name], kind) or isinstance(found[name], bool):
            raise ValueError(f"{name} is of another kind")
    if found["state"] not in ("running", "done", "failed"):
        raise ValueError("an unknown state")
    return Publication(**found)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True
