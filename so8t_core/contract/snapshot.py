"""The folded state beside the journal, so that a watcher of a long run need not fold it again.

A snapshot is a copy and never the truth: it is used only where the journal still holds the event
that it was taken at and the fold that made it is this version's, to the letter. Everywhere else the
journal is folded from its beginning, with the same result.
"""

from __future__ import annotations

import json
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from so8t_core.contract import events, series, state
from so8t_core.contract.files import PARTIAL_SUFFIX
from so8t_core.contract.phases import PHASE_NAMES, PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.series import Series
from so8t_core.contract.state import Checkpoint, EngineView, Item, LogLine, PhaseView, RunState

_UNUSABLE = (AttributeError, KeyError, LookupError, OSError, RecursionError, TypeError, ValueError)


def fold_version() -> str:
    """Identity of the code that folds: any change of it makes older snapshots void."""
    digest = sha256(sys.byteorder.encode())
    for module in (events, series, state):
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


def save_snapshot(run: RunDir, state: RunState) -> None:
    """Write the state beside the journal.

    Replaced in one step but not synced: what a crash damages is recognised and folded anew. Raises
    `OSError`.
    """
    document = {"fold": fold_version(), "state": _as_json(state)}
    partial = run.snapshot.with_name(run.snapshot.name + PARTIAL_SUFFIX)
    partial.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    partial.replace(run.snapshot)


def read_snapshot(run: RunDir) -> RunState | None:
    """The state as saved; None where there is none that this version can use.

    Whether the journal agrees is for the caller to see: by the state's `last_seq` and `last_ts`.
    """
    try:
        document = json.loads(run.snapshot.read_bytes())
        if document["fold"] != fold_version():
            return None
        return _from_json(document["state"])
    except _UNUSABLE:
        return None  # missing, damaged or of another form: the journal has it all


def _as_json(state: RunState) -> dict[str, Any]:
    body = dict(vars(state))
    body["engine"] = None if state.engine is None else vars(state.engine)
    body["phases"] = {name: _phase_as_json(view) for name, view in state.phases.items()}
    body["resource_series"] = _series_as_json(state.resource_series)
    body["log"] = [list(vars(line).values()) for line in state.log]
    return body


def _phase_as_json(view: PhaseView) -> dict[str, Any]:
    body = dict(vars(view))
    body["series"] = _series_as_json(view.series)
    body["course"] = _series_as_json({"": view.course})[""]
    body["items"] = [list(vars(item).values()) for item in view.items]
    body["checkpoints"] = [list(vars(made).values()) for made in view.checkpoints]
    return body


def _series_as_json(found: Mapping[str, Series]) -> dict[str, list[str]]:
    """Bytes in base 64: a tenth of the time that digits take, and exact."""
    return {name: [_packed(one.steps), _packed(one.values)] for name, one in found.items()}


def _packed(numbers: array[float]) -> str:
    return b64encode(numbers.tobytes()).decode("ascii")


def _unpacked(text: str) -> array[float]:
    numbers = array("d")
    numbers.frombytes(b64decode(text, validate=True))
    return numbers


def _from_json(body: dict[str, Any]) -> RunState:
    phases: dict[PhaseName, PhaseView] = {
        name: _phase_from_json(body["phases"][name]) for name in PHASE_NAMES
    }
    body["phases"] = phases
    if body["engine"] is not None:
        body["engine"] = EngineView(**body["engine"] | {"only": tuple(body["engine"]["only"])})
    body["resource_series"] = _series_from_json(body["resource_series"])
    body["milestones"] = tuple(body["milestones"])
    body["log"] = tuple(LogLine(*line) for line in body["log"])
    return RunState(**body)


def _phase_from_json(body: dict[str, Any]) -> PhaseView:
    body["series"] = _series_from_json(body["series"])
    body["course"] = _series_from_json({"": body["course"]})[""]
    body["items"] = tuple(Item(*item) for item in body["items"])
    body["checkpoints"] = tuple(Checkpoint(*made) for made in body["checkpoints"])
    return PhaseView(**body)


def _series_from_json(found: dict[str, list[str]]) -> dict[str, Series]:
    return {
        name: Series(_unpacked(steps), _unpacked(values)) for name, (steps, values) in found.items()
    }
