"""What an evaluation takes from outside its run; light, since the plan asks at each start."""

from __future__ import annotations

from so8t_core.contract.settings import Settings
from so8t_core.evaluation.task_files import file_digests
from so8t_core.model.base import base_input, own_base


def input_digests(settings: Settings) -> dict[str, str]:
    """Digests by name: of the benchmarks' files, and of a base in a folder of the user's.

    The base is the model that was trained, where `train.model_path` names one.

    Raises as `file_digests` and `digest_of`.
    """
    base = settings.train.model_path or own_base(settings.model)
    return {**file_digests(settings.evaluate), **base_input(base)}
