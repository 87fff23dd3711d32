"""Host memory into which a training's tensors are copied at once, to be written at leisure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from so8t_core.training.memory import first_line

_ALIGNMENT_BYTES = 64


class HostBuffer:
    """One block of host memory, pinned for a GPU, that is kept and used for every copy.

    Copies stay valid until the next `copy`. `unpinned`: why memory could not be pinned, or None;
    copying then takes a few times as long.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._block = torch.empty(0, dtype=torch.uint8)
        self.unpinned: str | None = None

    def reserve(self, tensors: Iterable[Tensor]) -> None:
        """Get room for them now. Pinning memory takes a while, copying into it does not."""
        needed = sum(_room(tensor) for tensor in tensors)
        if needed <= self._block.numel():
            return
        if self._device.type == "cuda" and self.unpinned is None:
            try:
                self._block = torch.empty(needed, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:  # a limit on locked memory
                self.unpinned = first_line(error)
            else:
                return
        self._block = torch.empty(needed, dtype=torch.uint8)

    @torch.no_grad()
    def copy(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Contiguous copies by the same names, equal to the bit, complete on return."""
        self.reserve(tensors.values())
        copies: dict[str, Tensor] = {}
        at = 0
        for name, tensor in tensors.items():
            part = self._block[at : at + tensor.numel() * tensor.element_size()]
            copies[name] = part.view(tensor.dtype).view(tensor.shape)
            if getattr(tensor, "is_paged", False):
                part.copy_(_as_the_device_sees(tensor, self._device), non_blocking=True)
            else:
                copies[name].copy_(tensor, non_blocking=True)
            at += _room(tensor)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return copies


class _Managed:
    """Memory of both sides, in the words in which libraries hand over a device's memory."""

    def __init__(self, tensor: Tensor) -> None:
        self.__cuda_array_interface__ = {
            "shape": (tensor.numel() * tensor.element_size(),),
            "typestr": "|u1",
            "data": (tensor.data_ptr(), False),
            "version": 3,
        }


def _as_the_device_sees(paged: Tensor, device: torch.device) -> Tensor:
    """The bytes of bitsandbytes' paged tensor, uint8 (bytes,), on the device.

    For torch it is a tensor of the host's; reading it as such fetches page after page, several
    times as slowly as the device copies it.
    """
    return torch.as_tensor(_Managed(paged), device=device)


def _room(tensor: Tensor) -> int:
    """Bytes that a tensor takes in the block, so that the next one is aligned."""
    size_bytes = tensor.numel() * tensor.element_size()
    return -(-size_bytes // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
