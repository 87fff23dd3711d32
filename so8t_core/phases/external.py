"""Inputs of a phase that are no phases: what the plan must look at before it reuses a result."""

from __future__ import annotations

from so8t_core.contract.phases import PhaseName
from so8t_core.contract.settings import Settings
from so8t_core.crawl import inputs as crawl_inputs
from so8t_core.evaluation import inputs as evaluation_inputs
from so8t_core.model.base import base_input, own_base
from so8t_core.training.outside import outside_digests


def external_inputs(name: PhaseName, settings: Settings) -> dict[str, str]:
    """Digests by the names that the phase's manifest gives them in `inputs`.

    A base model in a folder of the user's may change under a run, and so may a file of data, a
    benchmark's file or documents that are taken in; built and downloaded models are pinned by their
    cache. Raises as `digest_of`, `outside_digests` and the parts' `input_digests` where something
    is not there or cannot be read.
    """
    if name in {"verify", "integrate"}:
        return base_input(own_base(settings.model))
    if name == "crawl":
        return crawl_inputs.input_digests(settings.crawl)
    if name == "cleanse":
        return _beside_the_crawl(settings)
    if name == "train":
        return outside_digests(settings.train)
    if name == "evaluate":
        return evaluation_inputs.input_digests(settings)
    if name == "export":
        return base_input(settings.train.model_path)
    return {}


def _beside_the_crawl(settings: Settings) -> dict[str, str]:
    cleanse = settings.cleanse
    if not cleanse.earlier_runs and cleanse.safety_classifier is None:
        return {}
    from so8t_core.cleanse.inputs import input_digests  # it takes numpy and pyarrow along

    return input_digests(cleanse)
