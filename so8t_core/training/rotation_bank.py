"""Rotations of all gates, built once an optimiser step instead of once a layer and micro-batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.model.ops import rotation


class RotationBank:
    """Builds R of all gates together and takes their gradient back to the parameters.

    Between `open` and `send_back` every gate uses its part of one tensor, cut off from the graph: a
    leaf. The backward passes of all micro-batches, recomputed or not, add up their gradients in it;
    `send_back` makes one vector-Jacobian product of the sum. By linearity that is the gradient that
    each pass would have sent back on its own. Frozen gates take part without a gradient.

    The gates must agree in parametrisation, width and device (ValueError).
    """

    def __init__(self, gates: Sequence[SO8TRotationGate]) -> None:
        kinds = {(g.parametrisation, g.theta.shape, g.blocks, g.theta.device) for g in gates}
        if len(kinds) > 1:
            raise ValueError(f"gates of several kinds cannot be built together: {kinds}")
        self._gates = tuple(gates)
        self._built: Tensor | None = None
        self._gradient: Tensor | None = None

    def open(self) -> None:
        """Build all rotations and hand each gate its own."""
        self.close()
        if not self._gates:
            return
        first = self._gates[0]
        thetas = torch.stack([gate.theta for gate in self._gates])  # (gates, m, 28) or (.., 8, 8)
        built = first.spread(rotation(thetas, first.parametrisation))  # (gates, n, 8, 8)
        # the blocks of a gate side by side, as the kernels read them
        shared = _blocks_last(built.detach())
        if built.requires_grad:
            self._built, self._gradient = built, torch.zeros_like(shared)
        for index, gate in enumerate(self._gates):
            leaf = shared[index].detach()
            if self._gradient is not None and gate.theta.requires_grad:
                leaf.requires_grad_()
                leaf.grad = self._gradient[index]  # autograd adds to it in place
            gate.prepared = leaf

    def send_back(self) -> None:
        """Add the gradient gathered since `open` to that of each theta, and let go of the bank.

        Under `torch.distributed` the gradient is averaged over the ranks first. Nothing happens
        where no gate is trained.
        """
        built, gradient = self._built, self._gradient
        self.close()
        if built is None or gradient is None:
            return
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(gradient)
            gradient /= distributed.get_world_size()
        torch.autograd.backward([built], [gradient])

    def close(self) -> None:
        """Let each gate build its own rotation again; a gradient not sent back is dropped."""
        for gate in self._gates:
            gate.prepared = None
        self._built = self._gradient = None


def _blocks_last(matrices: Tensor) -> Tensor:
    """(gates, n, 8, 8) with the n blocks of a gate side by side in memory."""
    return matrices.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
