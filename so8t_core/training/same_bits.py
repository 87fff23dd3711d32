"""Operations whose bits are the same in every run, where that is asked for.

On a GPU the quickest gradients of attention add up in an order that changes from run to run; all
other operations of a training have the same bits every time. On a CPU nothing changes.
"""

# torch makes this switch in a way that mypy does not see
# mypy: disable-error-code="attr-defined"
from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils import deterministic

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Within it torch takes deterministic operations where there are any, if that is `wanted`."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    strict = not torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory
    # read when a product is asked for; its size is that of Hopper's own workspace
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # ours write all that they allocate and anybody reads
    deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=not strict)
        deterministic.fill_uninitialized_memory = filled
