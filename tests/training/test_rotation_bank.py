from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.utils.checkpoint import checkpoint

from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.training.rotation_bank import RotationBank


class Layers(nn.Module):
    """Three linears, each with a gate after it, checkpointed or not."""

    def __init__(self, parametrisation: str = "exp", blocks: list[int] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linears = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.gates = nn.ModuleList(SO8TRotationGate(16, parametrisation, blocks) for _ in range(3))
        with torch.no_grad():
            for gate in self.gates:
                gate.theta += 0.3 * torch.randn_like(gate.theta)

    def forward(self, hidden: Tensor, reentrant: bool | None) -> Tensor:
        for linear, gate in zip(self.linears, self.gates, strict=True):

            def layer(x: Tensor, linear: Any = linear, gate: Any = gate) -> Tensor:
                return x + torch.tanh(gate(linear(x)))

            plain = reentrant is None
            hidden = layer(hidden) if plain else checkpoint(layer, hidden, use_reentrant=reentrant)
        return hidden.square().mean()

    def bank(self) -> RotationBank:
        return RotationBank([gate for gate in self.gates if isinstance(gate, SO8TRotationGate)])

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.parameters() if p.grad is not None]


def micro_batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(7, 16, generator=generator, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("parametrisation", ["exp", "cayley", "free"])
@pytest.mark.parametrize("reentrant", [None, True, False])
@pytest.mark.parametrize("blocks", [None, [1]])
def test_a_step_with_the_bank_has_the_gradient_of_every_pass_on_its_own(
    parametrisation: str, reentrant: bool | None, blocks: list[int] | None
) -> None:
    direct = Layers(parametrisation, blocks)
    banked = copy.deepcopy(direct)
    for batch in micro_batches():
        direct(batch, None).backward()
    bank = banked.bank()
    bank.open()
    for batch in micro_batches():
        banked(batch, reentrant).backward()
    assert all(gate.theta.grad is None for gate in banked.gates)
    bank.send_back()
    pairs = list(zip(direct.gradients(), banked.gradients(), strict=True))
    assert len(pairs) == 9
    for expected, found in pairs:
        assert torch.allclose(expected, found, rtol=1e-5, atol=1e-7)


def test_an_open_bank_gives_what_the_gates_build_themselves_to_the_bit() -> None:
    model = Layers()
    alone = [gate.rotation() for gate in model.gates]
    bank = model.bank()
    bank.open()
    assert all(torch.equal(a, g.rotation()) for a, g in zip(alone, model.gates, strict=True))
    assert all(gate.rotation().is_leaf for gate in model.gates)
    bank.close()
    assert all(gate.prepared is None for gate in model.gates)


def test_two_steps_from_the_same_weights_give_the_same_bits() -> None:
    results = []
    for _ in range(2):
        model = Layers()
        bank = model.bank()
        for _ in range(2):
            model.zero_grad()
            bank.open()
            for batch in micro_batches():
                model(batch, True).backward()
            bank.send_back()
        results.append(model.gradients())
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_change_of_theta_is_seen_by_the_next_opening() -> None:
    model = Layers()
    bank = model.bank()
    bank.open()
    before = model.gates[0].rotation().clone()
    bank.send_back()
    with torch.no_grad():
        model.gates[0].theta += 0.1
    bank.open()
    assert not torch.equal(before, model.gates[0].rotation())


def test_frozen_gates_take_part_without_a_gradient() -> None:
    model = Layers()
    model.requires_grad_(False)
    bank = model.bank()
    bank.open()
    assert not any(gate.rotation().requires_grad for gate in model.gates)
    bank.send_back()
    assert model.gradients() == []


def test_gates_of_several_kinds_are_refused_and_none_is_fine() -> None:
    with pytest.raises(ValueError, match="several kinds"):
        RotationBank([SO8TRotationGate(16), SO8TRotationGate(16, "cayley")])
    bank = RotationBank([])
    bank.open()
    bank.send_back()


def _rank(rank: int, store: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    model = Layers()
    bank = model.bank()
    bank.open()
    model(micro_batches()[rank], None).backward()
    bank.send_back()
    torch.save([gate.theta.grad for gate in model.gates], store.with_name(f"rank{rank}.pt"))
    distributed.destroy_process_group()


def test_ranks_average_the_gradient_of_the_rotations(tmp_path: Path) -> None:
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _rank(rank, tmp_path / "store")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    both = Layers()
    loss = torch.stack([both(batch, None) for batch in micro_batches()[:2]]).mean()
    loss.backward()
    for rank in range(2):
        found = torch.load(tmp_path / f"rank{rank}.pt")
        for gate, gradient in zip(both.gates, found, strict=True):
            assert torch.allclose(gate.theta.grad, gradient, rtol=1e-5, atol=1e-7)
