"""Operations whose bits are the same in every run, where that is asked for.

On a GPU the quickest gradients of attention add up in an order that changes from run to run; all
other operations of a training have the same bits every time. On a CPU nothing changes.

torch's attention takes its deterministic gradients only where torch is strict: told to warn alone,
it warns once and adds up as before. So an operation that has no deterministic form is an error.
"""

# torch makes this switch in a way that mypy does not see
# mypy: disable-error-code="attr-defined"
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

from so8t_core.contract.errors import ModelError

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Within it torch takes deterministic operations, if that is `wanted`.

    Raises ModelError where there is none for what is asked.
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    strict = not torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory
    # read when a product is asked for; its size is that of Hopper's own workspace
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    # ours write all that they allocate and anybody reads
    deterministic.fill_uninitialized_memory = False
    try:
        yield
    except RuntimeError as error:
        if "use_deterministic_algorithms" not in str(error):
            raise
        raise ModelError(
            f"this training cannot have the same bits in every run: {str(error).split('.')[0]}",
            where="train.deterministic",
            hint="false lets the last bits differ",
        ) from error
    finally:
        torch.use_deterministic_algorithms(before, warn_only=not strict)
        deterministic.fill_uninitialized_memory = filled
