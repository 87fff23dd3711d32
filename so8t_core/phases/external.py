"""Inputs of a phase that are no phases: what the plan must look at before it reuses a result."""

from __future__ import annotations

from pathlib import Path

from so8t_core.contract.phases import PhaseName
from so8t_core.contract.settings import Settings
from so8t_core.crawl import inputs as crawl_inputs
from so8t_core.evaluation.task_files import file_digests
from so8t_core.model.base import digest_of


def external_inputs(name: PhaseName, settings: Settings) -> dict[str, str]:
    """Digests by the names that the phase's manifest gives them in `inputs`.

    A base model in a folder of the user's may change under a run, and so may a benchmark's file or
    documents that are taken in; built and downloaded models are pinned by their cache. Raises as
    `digest_of`, `file_digests` and `input_digests` where something cannot be read.
    """
    base = Path(settings.model.base)
    if name in {"verify", "integrate"} and base.is_dir():
        return {"base_model": digest_of(base)}
    if name == "crawl":
        return crawl_inputs.input_digests(settings.crawl)
    if name == "evaluate":
        return file_digests(settings.evaluate)
    return {}
