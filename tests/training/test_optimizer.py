from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from bitsandbytes import functional
from torch import Tensor, nn

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.phases.standalone import RecordingEmitter
from so8t_core.training import bundle
from so8t_core.training.gate_terms import Gate
from so8t_core.training.optimizer import (
    build_optimizer,
    optimizer_state,
    parameter_names,
    restore_optimizer,
)

CPU = torch.device("cpu")


class Adapted(nn.Module):
    """LoRA-like matrices and a gate, all large enough for 8-bit states."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lora = nn.Parameter(torch.randn(64, 80))
        self.small = nn.Parameter(torch.randn(8, 8))
        self.frozen = nn.Parameter(torch.randn(4), requires_grad=False)
        self.rotation_gate = SO8TRotationGate(2048)

    @property
    def gates(self) -> tuple[Gate, ...]:
        return (Gate("rotation_gate", self.rotation_gate),)


def stepped(model: Adapted, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.randn_like(parameter)
    optimizer.step()


def build(model: Adapted, kind: str = "adamw_8bit") -> torch.optim.Optimizer:
    settings = TrainSettings(optimizer=kind, weight_decay=0.1)  # type: ignore[arg-type]
    return build_optimizer(model, model.gates, settings, CPU, RecordingEmitter())


def test_lora_states_are_8_bit_and_the_gates_float32_in_a_group_without_decay() -> None:
    model = Adapted()
    optimizer = build(model)
    stepped(model, optimizer, 1)
    lora, gates = optimizer.param_groups
    asked = TrainSettings()
    assert (lora["lr"], gates["lr"]) == (asked.learning_rate, asked.gate_learning_rate)
    assert (lora["weight_decay"], gates["weight_decay"]) == (0.1, 0.0)
    assert optimizer.state[model.lora]["state1"].dtype == torch.uint8
    assert model.rotation_gate.theta.numel() >= 4096
    assert optimizer.state[model.rotation_gate.theta]["state1"].dtype == torch.float32
    assert model.frozen not in optimizer.state


def test_states_put_back_go_on_to_the_bit() -> None:
    for kind in ("adamw_8bit", "adamw"):
        model = Adapted()
        optimizer = build(model, kind)
        for step in range(3):
            stepped(model, optimizer, step)
        twin = Adapted()
        twin.load_state_dict(copy.deepcopy(model.state_dict()))
        resumed = build(twin, kind)
        saved = {
            name: {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
            for name, state in optimizer_state(optimizer, parameter_names(model)).items()
        }
        restore_optimizer(resumed, parameter_names(twin), saved)
        for step in range(3, 6):
            stepped(model, optimizer, step)
            stepped(twin, resumed, step)
        for name, value in model.state_dict().items():
            assert torch.equal(value, twin.state_dict()[name]), (kind, name)


class Several(nn.Module):
    """Matrices of whole blocks of 256, one that is not, and two too small for 8 bits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        shapes = ((64, 80), (128, 64), (65, 80), (32, 256), (8, 8), (7, 3))
        self.weights = nn.ParameterList(torch.randn(shape) for shape in shapes)


@pytest.mark.parametrize("kind", ["adamw_8bit", "adamw"])
def test_updates_in_one_call_have_the_bits_of_updates_one_by_one(
    monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    calls: list[int] = []
    for called in ("optimizer_update_8bit_blockwise", "optimizer_update_32bit"):
        update = getattr(functional, called)

        def counted(
            name: str, gradient: Tensor, *rest: Any, update: Any = update, **named: Any
        ) -> None:
            calls.append(gradient.numel())
            update(name, gradient, *rest, **named)

        monkeypatch.setattr(functional, called, counted)
    ends = []
    for most in (2**25, 0):
        monkeypatch.setattr(bundle, "MOST", most)
        model, settings = Several(), TrainSettings(optimizer=kind, weight_decay=0.1)
        optimizer = build_optimizer(model, (), settings, CPU, RecordingEmitter())
        calls.clear()
        for step in range(5):
            torch.manual_seed(step)
            for number, weight in enumerate(model.weights):
                weight.grad = None if (step, number) == (2, 1) else torch.randn_like(weight)
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 / (step + 1)
            optimizer.step()
            if step == 3:  # a resume's way
                names = parameter_names(model)
                saved = {n: copy.deepcopy(s) for n, s in optimizer_state(optimizer, names).items()}
                restore_optimizer(optimizer, names, saved)
        states = [s[k] for s in optimizer.state.values() for k in ("state1", "state2")]
        ends.append([*model.parameters(), *states])
        sizes = [weight.numel() for weight in model.weights]
        small = sum(sizes[4:])
        together = [sum(sizes)] if kind == "adamw" else [sum(sizes[:4]) - sizes[2], small]
        assert [size in calls for size in together] == [bool(most)] * len(together)
    for one, other in zip(*ends, strict=True):
        assert torch.equal(one, other)


def test_a_state_that_does_not_fit_is_named() -> None:
    model = Adapted()
    optimizer = build(model, "adamw")
    stepped(model, optimizer, 0)
    names = parameter_names(model)
    state = optimizer_state(optimizer, names)
    name = next(iter(state))
    for odd in ({}, {"state1": torch.zeros(2)}, {"state1": state[name]["state1"].half()}):
        saved = {**state, name: {**state[name], **odd}}
        if not odd:
            del saved[name]["state1"]
        with pytest.raises(KeyError, match=f"state1 of {name}"):
            restore_optimizer(build(model, "adamw"), names, saved)


def test_paging_without_a_gpu_falls_back_and_says_so() -> None:
    emit = RecordingEmitter()
    model = Adapted()
    build_optimizer(model, model.gates, TrainSettings(optimizer="paged_adamw_8bit"), CPU, emit)
    assert [kind for kind, _ in emit.events] == ["fallback"]
