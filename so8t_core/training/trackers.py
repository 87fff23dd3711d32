"""Where the figures of a training are shown besides: TensorBoard always, W&B, MLflow, trackio.

Each tracker is told what the series on disk are told, and changes no number. A resumed training
gives the same values again for the steps that it replays, so an outside tracker is not told of a
step twice: how far it was told is kept in trackers.json, written before it is told. A kill costs
the points there that were still to be told; it never doubles one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.files import canonical_json, write_json
from so8t_core.phases.base import Emitter
from so8t_core.training.event_files import EventFile
from so8t_core.training.teller import Teller, Tracker, said

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


def require_trackers(wanted: Sequence[str]) -> None:
    """Raise `ResourceError` where a tracker is asked for and not installed."""
    for name in wanted:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise ResourceError(
                f"The tracker {name} is asked for and not installed.",
                where="train.trackers",
                hint=f"Run `pip install {PACKAGES[name]}`, or take it out of `train.trackers`.",
            )


class _Wandb:
    def __init__(self, project: str, name: str, key: str, config: Mapping[str, Any]) -> None:
        import wandb

        self._run = wandb.init(
            project=project, name=name, id=key, resume="allow", config=dict(config)
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, project: str, name: str, key: str, config: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(project)
        experiment = found.experiment_id if found else self._client.create_experiment(project)
        known = self._client.search_runs([experiment], f"tags.so8t_key = '{key}'")
        if known:
            self._id = known[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            run = self._client.create_run(experiment, run_name=name, tags={"so8t_key": key})
            self._id = run.info.run_id
            for setting, value in config.items():
                self._client.log_param(self._id, setting, value)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, name, value, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


class _Trackio:
    def __init__(self, project: str, name: str, key: str, config: Mapping[str, Any]) -> None:
        import trackio

        # its runs are known by their names alone
        self._run = trackio.init(
            project=project, name=f"{name}-{key}", resume="allow", config=dict(config)
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


OPENERS: dict[str, Callable[[str, str, str, Mapping[str, Any]], Tracker]] = {
    "wandb": _Wandb,
    "mlflow": _Mlflow,
    "trackio": _Trackio,
}


class _Told(BaseModel):
    """trackers.json: which training the outside runs belong to, and how far each was told."""

    model_config = ConfigDict(extra="forbid")

    training: str
    key: str
    steps: dict[str, int] = {}


class Trackers:
    """All trackers of one training; `start` opens them, and until then nothing is told."""

    def __init__(self, folder: Path, wanted: Sequence[str], project: str, emit: Emitter) -> None:
        self._folder = folder
        self._wanted = tuple(wanted)
        self._project = project
        self._emit = emit
        self._files: dict[str, EventFile] = {}
        self._outside: dict[str, Teller] = {}
        self._told = _Told(training="", key="")
        self._heard: dict[str, int] = {}
        self._writing = Lock()

    def start(self, name: str, identity: Mapping[str, Any], step: int, evaluated_step: int) -> None:
        """Open all of them where training goes on after `step`.

        `name`: of the run; `identity`: what the training is, as its checkpoints state it, which
        also decides whether outside runs are gone on with. `evaluated_step`: the last evaluation,
        -1 for none. Raises `ResourceError` for a tracker that refuses.
        """
        place = self._folder / "tensorboard"
        self._files["train"] = EventFile(place / "train", step + 1)
        self._files["evaluation"] = EventFile(place / "evaluation", evaluated_step + 1)
        if not self._wanted:
            return
        self._told = self._read_told(hashlib.sha256(canonical_json(dict(identity)).encode()))
        write_json(self._told_path, self._told.model_dump())
        self._heard = dict(self._told.steps)
        config = {key: canonical_json(value) for key, value in identity.items()}
        for wanted in self._wanted:
            try:
                opened = OPENERS[wanted](self._project, name, self._told.key, config)
            except Exception as error:  # of any library, at its border; nothing is trained yet
                raise ResourceError(
                    f"The tracker {wanted} could not be opened ({said(error)}).",
                    where="train.trackers",
                    hint=f"Log in to {wanted} and check its address, or take it out of "
                    "`train.trackers`.",
                ) from error
            mark = partial(self._mark, wanted)
            self._outside[wanted] = Teller(wanted, opened, mark, self._emit.fallback)

    def append(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Tell all of them a step's values; `kind`: `train` or `evaluation`.

        An outside tracker that fails, or is far behind, is told nothing more, which is said once as
        a fallback.
        """
        if kind in self._files:
            self._files[kind].append(step, values)
        for name, teller in self._outside.items():
            mark = f"{name} {kind}"
            if step > self._heard.get(mark, -1):
                self._heard[mark] = step
                teller.tell(kind, step, values)

    def close(self) -> None:
        """Close all of them; an outside one is waited for a while."""
        for file in self._files.values():
            file.close()
        self._files = {}
        for teller in self._outside.values():
            teller.close()
        self._outside = {}

    def _mark(self, name: str, kind: str, step: int) -> None:
        """In the teller's thread, before a step is told."""
        with self._writing:
            self._told.steps[f"{name} {kind}"] = step
            write_json(self._told_path, self._told.model_dump())

    @property
    def _told_path(self) -> Path:
        return self._folder / "trackers.json"

    def _read_told(self, training: Any) -> _Told:
        fresh = _Told(training=training.hexdigest(), key=uuid.uuid4().hex[:8])
        if not self._told_path.is_file():
            return fresh
        try:
            known = _Told.model_validate_json(self._told_path.read_bytes())
        except ValidationError as error:
            self._emit.fallback("new runs in the outside trackers", f"trackers.json: {error}")
            return fresh
        return known if known.training == fresh.training else fresh
