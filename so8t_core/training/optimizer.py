"""The optimiser: LoRA in 8-bit AdamW, the gates in a float32 group of their own."""

# bitsandbytes has no annotations
# mypy: disable-error-code="has-type, misc, no-any-return, name-defined, no-untyped-call"
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bitsandbytes
import torch
from torch import Tensor, nn

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.phases.base import Emitter
from so8t_core.training.bundle import Bundle, bundles_of
from so8t_core.training.gate_terms import Gate

State = dict[str, dict[str, Any]]
"""Optimiser state by parameter name, then by the optimiser's own key: tensors and numbers."""


class GroupedAdamW(bitsandbytes.optim.AdamW):
    """bitsandbytes' AdamW whose groups may state `optim_bits` of their own, and that does not wait.

    bitsandbytes' way for the first is a registry shared by the whole process and keyed by id(),
    which outlives its parameters. Its own `step` waits for the device after every single tensor;
    that is needed nowhere, since all work is in one stream, and only paged states, which the host
    may read, are waited for at the end. What can be updated in one call is, see `bundle.py`.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step of all parameters that have a gradient. `closure` is not supported."""
        assert closure is None
        if not self.initialized:
            self.check_overrides()
            self.to_gpu()
            self.initialized = True
            self._bundles: dict[int, list[Bundle]] = {}
        parameter = None
        for gindex, group in enumerate(self.param_groups):
            done = self._update_bundles(gindex, group)
            for pindex, parameter in enumerate(group["params"]):
                if parameter.grad is None or id(parameter) in done:
                    continue
                if not self.state[parameter]:
                    self.init_state(group, parameter, gindex, pindex)
                self.prefetch_state(parameter)
                self.update_step(group, parameter, gindex, pindex)
        if self.is_paged and parameter is not None and parameter.device.type == "cuda":
            torch.cuda.synchronize(parameter.device)

    def _update_bundles(self, gindex: int, group: dict[str, Any]) -> set[int]:
        """Update what can be updated together; returns the ids of those parameters."""
        if not all(self.state[parameter] for parameter in group["params"]):
            return set()  # states are made by a first step, one by one
        bundles = self._bundles.get(gindex)
        if bundles is None or not all(one.holds(self.state) for one in bundles):
            bundles = self._bundles[gindex] = bundles_of(group["params"], self.state)
        done: set[int] = set()
        for bundle in bundles:
            if bundle.ready():
                bundle.update(self.optimizer_name, self.get_config(gindex, 0, group))
                done |= bundle.members
        return done

    def get_config(self, gindex: int, pindex: int, group: dict[str, Any]) -> dict[str, Any]:
        config = super().get_config(gindex, pindex, group)
        config["optim_bits"] = group["optim_bits"]
        return config


def build_optimizer(
    model: nn.Module,
    gates: tuple[Gate, ...],
    settings: TrainSettings,
    device: torch.device,
    emit: Emitter,
) -> torch.optim.Optimizer:
    """AdamW with two groups: LoRA, and the gates without weight decay at their own rate."""
    of_gates = {id(gate.module.theta) for gate in gates}
    lora = [p for p in model.parameters() if p.requires_grad and id(p) not in of_gates]
    eight_bit = settings.optimizer != "adamw"
    groups: list[dict[str, Any]] = [
        {
            "params": lora,
            "lr": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "optim_bits": 8 if eight_bit else 32,
        }
    ]
    if gates:
        groups.append(
            {
                "params": [gate.module.theta for gate in gates],
                "lr": settings.gate_learning_rate,
                "weight_decay": 0.0,
                "optim_bits": 32,
            }
        )
    paged = settings.optimizer == "paged_adamw_8bit"
    if paged and device.type == "cpu":
        emit.fallback("adamw_8bit without paging", "paged optimiser states need a GPU")
        paged = False
    optimizer: torch.optim.Optimizer = GroupedAdamW(
        groups, optim_bits=8 if eight_bit else 32, is_paged=paged
    )
    return optimizer


def parameter_names(model: nn.Module) -> dict[int, str]:
    """Names of the trained parameters by id."""
    return {id(p): name for name, p in model.named_parameters() if p.requires_grad}


def optimizer_state(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> State:
    """The states of all parameters that have one, by the parameter's name."""
    return {names[id(p)]: dict(state) for p, state in optimizer.state.items() if state}


@torch.no_grad()
def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], state: State
) -> None:
    """Put saved states back, to the bit, into buffers that the optimiser itself makes.

    So paged states stay paged. Raises KeyError naming a state that is missing or does not fit.
    """
    assert isinstance(optimizer, GroupedAdamW)
    for group_index, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            saved = state.get(names[id(parameter)])
            if saved is None:
                continue
            optimizer.state[parameter] = {}
            optimizer.init_state(group, parameter, group_index, index)
            fresh = optimizer.state[parameter]
            for key, value in fresh.items():
                kept: Any = saved.get(key)
                if not _alike(kept, value):
                    raise KeyError(f"{key} of {names[id(parameter)]}")
                if isinstance(value, Tensor):
                    value.copy_(kept)
                else:
                    fresh[key] = kept


def _alike(kept: Any, value: Any) -> bool:
    if not isinstance(value, Tensor):
        return isinstance(kept, type(value))
    return isinstance(kept, Tensor) and (kept.shape, kept.dtype) == (value.shape, value.dtype)
