"""Many AdamW updates in one call.

bitsandbytes updates tensor by tensor, and a call takes the host longer than it takes a GPU; after
each step's loss was read, the GPU waits for the host. Numbers with 8-bit states share nothing
beyond their block of 256, those with 32-bit states nothing at all, so tensors (of whole blocks),
laid end to end, come out with the same bits.
"""

# bitsandbytes has no annotations
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from bitsandbytes import functional
from torch import Tensor

BLOCK = 256
"""Numbers that share a scale in bitsandbytes' blockwise states."""
MOST = 2**25
"""Numbers of a bundle: its parameters and gradients, laid end to end, take 268 MB for a moment."""
_BY_NUMBER = ("state1", "state2")
_BY_BLOCK = ("absmax1", "absmax2")
_NO_BETA3_AND_ALPHA = (0.0, 0.0)
"""Which AdamW has not."""


class Bundle:
    """Parameters whose states lie end to end; each keeps its own name for its part of them.

    All have 8-bit blockwise states in `states`, by parameter, of equal maps, or all 32-bit ones,
    on one device.
    """

    def __init__(
        self, parameters: Sequence[Tensor], states: Mapping[Tensor, dict[str, Any]]
    ) -> None:
        self._parameters = list(parameters)
        self._states = [states[parameter] for parameter in parameters]
        self._eight_bit = "absmax1" in self._states[0]
        self._joined = {
            key: torch.cat([state[key].flatten() for state in self._states])
            for key in (*_BY_NUMBER, *(_BY_BLOCK if self._eight_bit else ()))
        }
        for key, joined in self._joined.items():
            parts = joined.split([state[key].numel() for state in self._states])
            for state, part in zip(self._states, parts, strict=True):
                state[key] = part.view_as(state[key])

    def holds(self, states: Mapping[Tensor, dict[str, Any]]) -> bool:
        """Whether these are still the states that lie end to end."""
        own = zip(self._parameters, self._states, strict=True)
        return all(states[parameter] is state for parameter, state in own)

    def ready(self) -> bool:
        """Whether all have a gradient, and have been updated equally often."""
        return (
            all(parameter.grad is not None for parameter in self._parameters)
            and len({state["step"] for state in self._states}) == 1
        )

    @property
    def members(self) -> set[int]:
        """The ids of the parameters."""
        return set(map(id, self._parameters))

    def update(self, name: str, config: Mapping[str, Any]) -> None:
        """One step of the optimiser of that name in bitsandbytes, by a group's settings."""
        for state in self._states:
            state["step"] += 1
        gradients = self._end_to_end([p.grad for p in self._parameters if p.grad is not None])[0]
        numbers, parts = self._end_to_end(self._parameters)
        update = self._update_8_bit if self._eight_bit else self._update_32_bit
        update(name, gradients, numbers, config)
        torch._foreach_copy_(self._parameters, parts)

    def _update_8_bit(
        self, name: str, gradients: Tensor, numbers: Tensor, config: Mapping[str, Any]
    ) -> None:
        first, (beta1, beta2) = self._states[0], config["betas"]
        functional.optimizer_update_8bit_blockwise(
            name,
            gradients,
            numbers,
            self._joined["state1"],
            self._joined["state2"],
            beta1,
            beta2,
            *_NO_BETA3_AND_ALPHA,
            config["eps"],
            first["step"],
            config["lr"],
            first["qmap1"],
            first["qmap2"],
            self._joined["absmax1"],
            self._joined["absmax2"],
            config["weight_decay"],
            gnorm_scale=1.0,
            skip_zeros=config["skip_zeros"],
        )

    def _update_32_bit(
        self, name: str, gradients: Tensor, numbers: Tensor, config: Mapping[str, Any]
    ) -> None:
        beta1, beta2 = config["betas"]
        functional.optimizer_update_32bit(
            name,
            gradients,
            numbers,
            self._joined["state1"],
            beta1,
            config["eps"],
            self._states[0]["step"],
            config["lr"],
            self._joined["state2"],
            beta2,
            *_NO_BETA3_AND_ALPHA,
            config["weight_decay"],
            1.0,
            skip_zeros=config["skip_zeros"],
        )

    def _end_to_end(self, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """A copy of all, and its parts in their shapes."""
        sizes = [one.numel() for one in tensors]
        flat = tensors[0].new_empty(sum(sizes))
        parts = [part.view_as(one) for part, one in zip(flat.split(sizes), tensors, strict=True)]
        torch._foreach_copy_(parts, list(tensors))
        return flat, parts


def bundles_of(
    parameters: Sequence[Tensor], states: Mapping[Tensor, dict[str, Any]]
) -> list[Bundle]:
    """Bundles of those that can be in one, in order; single ones are left out."""
    found: list[list[Tensor]] = []
    for kind in (torch.uint8, torch.float32):
        found.append([])
        size = 0
        for parameter in parameters:
            if not _fits(parameter, states[parameter], kind):
                continue
            if size and size + parameter.numel() > MOST:
                found.append([])
                size = 0
            found[-1].append(parameter)
            size += parameter.numel()
    return [Bundle(some, states) for some in found if len(some) > 1]


def _fits(parameter: Tensor, state: Mapping[str, Any], kind: torch.dtype) -> bool:
    return (
        bool(state)
        and state["state1"].dtype == kind
        and not getattr(state["state1"], "is_paged", False)
        and (kind != torch.uint8 or parameter.numel() % BLOCK == 0)
        and parameter.dtype == torch.float32
        and parameter.is_contiguous()
    )
