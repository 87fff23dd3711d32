"""The gate alone on a GPU: kernels beside a device copy, an einsum, and PEFT's OFT, in one run.

    python benchmarks/gate.py OUT.json [--rows 16384] [--width 3072]

Times are medians of 50 runs by device events, on tensors larger than the cache. Each part is
written when it is done; last of all the kernels are compared with float64.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft.tuners.oft.layer import OFTRotationModule
from torch import Tensor

from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate
from so8t_core.model.ops import fallbacks, reference, rotate
from so8t_core.model.ops import triton as kernels
from so8t_core.model.so8 import rotation
from so8t_core.training.rotation_bank import RotationBank

LAYERS = 32
LAUNCH_CYCLES = 3_000_000
"""Some 2 ms in which the host launches what is timed: in a step it runs ahead as well."""


def median_us(run: Callable[[], Any], repeats: int = 50) -> float:
    """Median device time of a call, in microseconds; the device is kept busy while it launches."""
    for _ in range(5):
        run()
    times = []
    for _ in range(repeats):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(LAUNCH_CYCLES)
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times)


def rotations(blocks: int) -> Tensor:
    """Random rotations as a bank hands them out: blocks side by side."""
    built = rotation(0.3 * torch.randn(blocks, 28, device="cuda"), "exp")
    return built.permute(1, 2, 0).contiguous().permute(2, 0, 1)


def check() -> list[dict[str, Any]]:
    """Largest error of the kernels against float64, relative to the largest value."""
    results = []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for rows, blocks in ((0, 4), (1, 1), (7, 9), (333, 72), (4097, 384)):
            h, g = (torch.randn(rows, blocks * 8, device="cuda").to(dtype) for _ in range(2))
            matrices = rotations(blocks)
            got = (kernels.forward(h, matrices), *kernels.backward(h, matrices, g))
            wide = [one.double() for one in (h, matrices, g)]
            want = (reference.forward(*wide[:2]), *reference.backward(*wide))
            errors = [
                float((a.double() - b).abs().max() / b.abs().max()) if rows else 0.0
                for a, b in zip(got, want, strict=True)
            ]
            again = kernels.backward(h, matrices, g)
            identity = torch.eye(8, device="cuda").expand(blocks, 8, 8)
            results.append(
                {
                    "dtype": str(dtype).removeprefix("torch."),
                    "rows": rows,
                    "blocks": blocks,
                    "error_output": errors[0],
                    "error_hidden_gradient": errors[1],
                    "error_rotation_gradient": errors[2],
                    "same_bits_twice": all(
                        torch.equal(a, b) for a, b in zip(got[1:], again, strict=True)
                    ),
                    "identity_exact": torch.equal(kernels.forward(h, identity), h),
                }
            )
    return results


def peers(rows: int, width: int) -> dict[str, float]:
    """Forward and backward of each way to rotate, in microseconds."""
    h, g = (torch.randn(rows, width, device="cuda").bfloat16() for _ in range(2))
    matrices = rotations(width // 8)
    out = torch.empty_like(h)
    times = {
        "device_copy": median_us(lambda: out.copy_(h)),
        "kernel_forward": median_us(lambda: kernels.forward(h, matrices)),
        "kernel_backward": median_us(lambda: kernels.backward(h, matrices, g)),
        "kernel_backward_without_rotations": median_us(lambda: kernels.turn_back(g, matrices)),
        "kernel_forward_backward": median_us(
            lambda: (kernels.forward(h, matrices), kernels.backward(h, matrices, g))
        ),
    }
    leaf = h.clone().requires_grad_()
    trained = matrices.clone().requires_grad_()

    def through(turn: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            leaf.grad = trained.grad = None
            turn(leaf, trained).backward(g)

        return run

    def einsum(hidden: Tensor, turned: Tensor) -> Tensor:
        split = hidden.view(rows, -1, 8)
        return torch.einsum("tbj,bij->tbi", split, turned.to(hidden.dtype)).reshape(rows, width)

    times["autograd_kernel"] = median_us(through(rotate))
    times["autograd_reference"] = median_us(through(reference.forward), 10)
    times["autograd_einsum"] = median_us(through(einsum), 20)
    for dtype in (torch.bfloat16, torch.float32):
        module = OFTRotationModule(width // 8, 28, 8, width).cuda().to(dtype)
        torch.nn.init.normal_(module.weight, std=0.02)

        def oft(hidden: Tensor, _: Tensor, module: OFTRotationModule = module) -> Tensor:
            turned: Tensor = module(hidden)
            return turned

        name = str(dtype).removeprefix("torch.")
        times[f"autograd_peft_oft_{name}"] = median_us(through(oft), 20)
    return times


def bank(width: int) -> dict[str, float]:
    """All rotations of a model, with gradient: wall time, launches included."""
    gates = [SO8TRotationGate(width).cuda() for _ in range(LAYERS)]
    for gate in gates:
        torch.nn.init.normal_(gate.theta, std=0.1)
    one = RotationBank(gates)

    def wall_us(prepare: Callable[[], None], run: Callable[[], None]) -> float:
        times = []
        for _ in range(20):
            prepare()
            torch.cuda.synchronize()
            began = time.perf_counter()
            run()
            torch.cuda.synchronize()
            times.append((time.perf_counter() - began) * 1e6)
        return statistics.median(times[5:])

    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    one.open()
    torch.cuda.synchronize()
    held = torch.cuda.memory_allocated() - before

    def open_anew() -> None:
        one.close()
        one.open()

    def there_and_back() -> None:
        one.open()
        one.send_back()

    return {
        "rotations": LAYERS * width // 8,
        "device_open_us": median_us(open_anew, 20),
        "device_open_and_send_back_us": median_us(there_and_back, 20),
        "open_us": wall_us(one.close, one.open),
        "send_back_us": wall_us(one.open, one.send_back),
        "held_bytes": held,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=16384)
    parser.add_argument("--width", type=int, default=3072)
    options = parser.parse_args()
    torch.manual_seed(0)
    result: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "rows": options.rows,
        "width": options.width,
    }

    def save(**parts: Any) -> None:
        result.update(parts)
        options.out.write_text(json.dumps(result, indent=1))
        print(json.dumps(parts, indent=1), flush=True)

    times = peers(options.rows, options.width)
    # five tensors move: two forward, three backward; a copy moves two
    floor = 2.5 * times["device_copy"]
    moved_bytes = 2 * options.rows * options.width * 2
    save(
        times_us=times,
        copy_tb_per_s=moved_bytes / times["device_copy"] / 1e6,
        forward_backward_over_copy_of_its_bytes=times["kernel_forward_backward"] / floor,
        times_faster_than_einsum=times["autograd_einsum"] / times["kernel_forward_backward"],
    )
    save(bank=bank(options.width))
    save(checks=check(), fallbacks=fallbacks())


if __name__ == "__main__":
    main()
