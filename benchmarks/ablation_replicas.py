"""Several small trainings in one: one frozen base, adapters of several replicas side by side.

A small model leaves a large GPU idle between its kernels. Trainings that differ in seed, learning
rate or data alone therefore share each pass through the frozen base: a batch holds the rows of
replica 0, then of replica 1, and so on, and every adapter sees its own rows. Gradients, their
clipping and the optimiser's states are each replica's own, so a replica is trained as if alone;
tests/training/test_ablation.py compares with PEFT and with the gated model.

Gates are the project's own, built by its rotation bank; OFT's rotation is PEFT's own module.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.oft.layer import OFTRotationModule
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from so8t_core.model.layers import select
from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.training.rotation_bank import RotationBank

EVERY_LINEAR = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
LORA_SCALE = 2.0
"""Alpha / r, as in the project's own settings."""
OFT_BLOCK = 8


@dataclass(frozen=True)
class Layout:
    """What is trained: the same for all replicas of a group.

    `lora_rank`, `oft`: 0 and False leave them out. `lora_layers`, `gate_layers`: as in settings,
    `all` or `10-19`. `gates`: the linears whose output is rotated.
    """

    lora_rank: int = 0
    lora_targets: tuple[str, ...] = EVERY_LINEAR
    lora_layers: str = "all"
    oft: bool = False
    gates: tuple[str, ...] = ()
    gate_layers: str = "all"


class ReplicatedLinear(nn.Module):
    """A frozen linear with the adapters of all replicas; rows of a replica lie together."""

    def __init__(self, linear: nn.Linear, replicas: int) -> None:
        super().__init__()
        self.linear = linear
        self.replicas = replicas
        self.lora_a: nn.Parameter | None = None  # (replicas, r, in)
        self.lora_b: nn.Parameter | None = None  # (replicas, out, r)
        self.oft: OFTRotationModule | None = None
        self.gates: nn.ModuleList | None = None

    def add_lora(self, rank: int, generators: Sequence[torch.Generator]) -> None:
        """A as PEFT starts it, B zero."""
        wide, tall = self.linear.in_features, self.linear.out_features
        device = self.linear.weight.device
        sides = []
        for generator in generators:
            side = torch.empty(rank, wide)
            nn.init.kaiming_uniform_(side, a=math.sqrt(5), generator=generator)
            sides.append(side)
        self.lora_a = nn.Parameter(torch.stack(sides).to(device))
        self.lora_b = nn.Parameter(torch.zeros(len(sides), tall, rank, device=device))

    def add_oft(self) -> None:
        """PEFT's rotation of the input, the replicas' blocks one after another; the identity."""
        blocks = self.replicas * self.linear.in_features // OFT_BLOCK
        free = OFT_BLOCK * (OFT_BLOCK - 1) // 2
        width = self.replicas * self.linear.in_features
        self.oft = OFTRotationModule(blocks, free, OFT_BLOCK, width)
        nn.init.zeros_(self.oft.weight)
        self.oft.to(self.linear.weight.device)

    def add_gates(self) -> None:
        """A gate of each replica on the output, at the identity."""
        width = self.linear.out_features
        gates = [SO8TRotationGate(width) for _ in range(self.replicas)]
        self.gates = nn.ModuleList(gates).to(self.linear.weight.device)

    def forward(self, rows: Tensor) -> Tensor:
        """(replicas x batch, tokens, in) to (replicas x batch, tokens, out)."""
        result: Tensor = self.linear(rows if self.oft is None else self._turned(rows))
        if self.lora_a is not None and self.lora_b is not None:
            apart = rows.reshape(self.replicas, -1, rows.shape[-1])
            low = torch.bmm(apart, self.lora_a.mT)  # (replicas, batch x tokens, r)
            result = result + LORA_SCALE * torch.bmm(low, self.lora_b.mT).view_as(result)
        if self.gates is not None:
            parts = result.chunk(self.replicas)
            result = torch.cat([gate(part) for gate, part in zip(self.gates, parts, strict=True)])
        return result

    def _turned(self, rows: Tensor) -> Tensor:
        assert self.oft is not None
        width = rows.shape[-1]
        apart = rows.reshape(self.replicas, -1, width).transpose(0, 1)
        turned = self.oft(apart.reshape(apart.shape[0], -1))  # (batch x tokens, replicas x in)
        return turned.view(-1, self.replicas, width).transpose(0, 1).reshape(rows.shape)


class Replicas:
    """The adapters of a group on a base model; `remove` gives the base back as it was."""

    def __init__(self, model: Any, layout: Layout, seeds: Sequence[int]) -> None:
        self.model = model
        self.count = len(seeds)
        self._wrapped: list[tuple[nn.Module, str, ReplicatedLinear]] = []
        model.requires_grad_(False)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        layers = model.model.layers
        with_lora = select(layout.lora_layers, len(layers), "layers")
        with_gates = select(layout.gate_layers, len(layers), "layers")
        for index, layer in enumerate(layers):
            for parent, name in _linears(layer):
                lora = layout.lora_rank and name in layout.lora_targets and index in with_lora
                gated = name in layout.gates and index in with_gates
                if not (lora or gated or layout.oft):
                    continue
                wrapped = ReplicatedLinear(getattr(parent, name), self.count)
                if lora:
                    wrapped.add_lora(layout.lora_rank, generators)
                if layout.oft:
                    wrapped.add_oft()
                if gated:
                    wrapped.add_gates()
                setattr(parent, name, wrapped)
                self._wrapped.append((parent, name, wrapped))
        self._stacked = [
            parameter
            for _, _, wrapped in self._wrapped
            for parameter in (wrapped.lora_a, wrapped.lora_b, wrapped.oft and wrapped.oft.weight)
            if isinstance(parameter, nn.Parameter)
        ]
        self.gates = [list(w.gates) for _, _, w in self._wrapped if w.gates is not None]
        self.bank = RotationBank([gate for gates in self.gates for gate in gates])
        self.plain = [self._own(replica) for replica in range(self.count)]

    def _own(self, replica: int) -> list[nn.Parameter]:
        """The replica's part of what is stacked: parameters that share its memory and gradient."""
        views = []
        for parameter in self._stacked:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            part = nn.Parameter(parameter.detach().chunk(self.count)[replica])
            part.grad = parameter.grad.chunk(self.count)[replica]
            views.append(part)
        return views

    def thetas(self, replica: int) -> list[nn.Parameter]:
        """The parameters of the replica's gates."""
        return [gates[replica].theta for gates in self.gates]

    def own(self, replica: int) -> list[nn.Parameter]:
        """Every parameter of the replica."""
        return self.plain[replica] + self.thetas(replica)

    @property
    def parameters(self) -> int:
        """How many numbers a replica trains."""
        return sum(parameter.numel() for parameter in self.own(0))

    def clear_gradients(self) -> None:
        """Set all gradients to zero, in place: the replicas' views must stay theirs."""
        for parameter in self._stacked:
            assert parameter.grad is not None
            parameter.grad.zero_()
        for gates in self.gates:
            for gate in gates:
                gate.theta.grad = None

    def losses(self, ids: Tensor) -> Tensor:
        """Sum of the losses, in nats, over the targets of each replica: (replicas,) float32.

        `ids`: (replicas x batch, tokens). Logits are made one replica at a time and made again in
        the backward pass, since they would take more memory than everything else.
        """
        hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        targets = ids[:, 1:]
        return torch.stack(
            [
                checkpoint(self._loss, h, t, use_reentrant=False)
                for h, t in zip(hidden.chunk(self.count), targets.chunk(self.count), strict=True)
            ]
        )

    def _loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.model.lm_head(hidden).flatten(0, 1).float()
        return functional.cross_entropy(logits, targets.reshape(-1), reduction="sum")

    @torch.no_grad()
    def mean_angles(self) -> list[float | None]:
        """Mean rotation of each replica's gates, as the trainer reports it; None without gates."""
        from so8t_core.training.gate_terms import Gate, GateTerms

        if not self.gates:
            return [None] * self.count
        return [
            GateTerms([Gate("gate", gates[k]) for gates in self.gates], 0.0, 0.0).measure()[
                "rotation_angle_mean"
            ]
            for k in range(self.count)
        ]

    def remove(self) -> None:
        """Put the base's own linears back."""
        self.bank.close()
        for parent, name, wrapped in self._wrapped:
            setattr(parent, name, wrapped.linear)


def _linears(layer: Any) -> list[tuple[nn.Module, str]]:
    return [
        (layer.self_attn, "qkv_proj"),
        (layer.self_attn, "o_proj"),
        (layer.mlp, "gate_up_proj"),
        (layer.mlp, "down_proj"),
    ]
