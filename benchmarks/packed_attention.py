"""Attention of packed rows on a GPU: by a mask, told where samples end, and of rows of one sample.

    python benchmarks/packed_attention.py OUT.json [--rows 4] [--length 2048] [--samples 8]

Phi-3.5-mini's heads (32 of 96), bf16, forward and backward, medians of 30 calls; the last also with
deterministic algorithms, and whether two calls then give the same bits.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from gate import median_us
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from so8t_core.training.packed_attention import bounds_of, ends_of, packed_attention

HEADS, SIZE = 32, 96


def allowed(ends: Tensor, length: int) -> Tensor:
    """The mask that says the same: (rows, 1, length, length), true where a token looks."""
    places = torch.arange(length, device=ends.device)
    sample = torch.searchsorted(ends.long(), places.expand(len(ends), -1).contiguous(), right=True)
    together = sample[:, :, None] == sample[:, None, :]
    return (together & (places[:, None] >= places[None, :]))[:, None]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--samples", type=int, default=8)
    options = parser.parse_args()
    torch.manual_seed(0)
    lengths = [options.length // options.samples] * options.samples
    ends = ends_of([lengths] * options.rows, options.length).cuda()
    mask = allowed(ends, options.length)
    shape = (options.rows, options.length, 3 * HEADS, SIZE)
    joined = torch.randn(shape, device="cuda").bfloat16().requires_grad_()
    upstream = torch.randn(options.rows, options.length, HEADS, SIZE, device="cuda").bfloat16()

    def heads() -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = joined.split(HEADS, dim=2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def by_mask() -> Tensor:
        return scaled_dot_product_attention(*heads(), attn_mask=mask).transpose(1, 2)

    def by_ends() -> Tensor:
        return packed_attention(*heads(), ends, SIZE**-0.5)

    def one_sample() -> Tensor:
        return scaled_dot_product_attention(*heads(), is_causal=True).transpose(1, 2)

    def gradient(attend: Any) -> Tensor:
        joined.grad = None
        attend().backward(upstream)
        assert joined.grad is not None
        return joined.grad

    difference = (by_mask() - by_ends()).abs().max() / by_mask().abs().max()
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "sequences": len(bounds_of(ends, options.length)) - 1,
        "largest_difference": float(difference),
        "forward_backward_us": {
            attend.__name__: median_us(lambda attend=attend: gradient(attend), 30)
            for attend in (by_mask, by_ends, one_sample)
        },
        "same_bits_twice": {
            attend.__name__: torch.equal(gradient(attend), gradient(attend))
            for attend in (by_mask, by_ends, one_sample)
        },
    }
    torch.use_deterministic_algorithms(True)
    result["deterministic_us"] = {"by_ends": median_us(lambda: gradient(by_ends), 30)}
    result["deterministic_same_bits"] = torch.equal(gradient(by_ends), gradient(by_ends))
    options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
