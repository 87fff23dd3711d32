"""How `so8t export ollama` goes, in a file of its own: told by the command, read by watchers.

It happens beside the engine, perhaps long after it, and the journal has one writer. The file holds
the newest word only.
"""

from __future__ import annotations

import os
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from so8t_core.contract.errors import StoreError
from so8t_core.contract.files import write_json
from so8t_core.contract.lock import boot_id
from so8t_core.contract.rundir import RunDir


class Publication(BaseModel):
    """The newest step of one publication. `step` is the last word, or the error's first sentence.

    `cut off` is read and never written: its process is gone without having said how it ended.
    `at`: Unix time in seconds. `done_bytes` of `total_bytes`: of this step, where Ollama counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
        write_json(run.publication, told.model_dump())
    except OSError as error:
        raise StoreError(
            f"How the model goes into Ollama cannot be told ({error.strerror}).",
            where=str(run.publication),
            hint="The run's folder must be yours to write, and the disk have room.",
        ) from error


def read_publication(run: RunDir) -> Publication | None:
    """The newest word; None where nothing was ever published. Raises `StoreError`."""
    try:
        told = Publication.model_validate_json(run.publication.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise StoreError(
            "What was told of putting the model into Ollama cannot be read.",
            where=str(run.publication),
            hint="Remove the file; the next `so8t export ollama` writes it anew.",
        ) from error
    if told.state == "running" and not (told.boot_id == boot_id() and _lives(told.pid)):
        return told.model_copy(update={"state": "cut off"})
    return told


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it is another user's
    return True
