from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt
from torch import Tensor, nn

from so8t_core.contract.errors import ModelError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model.int8 import multiply_dequantized
from so8t_core.phases.standalone import RecordingEmitter
from so8t_core.training.adapter import attach_adapter, trained_weights
from so8t_core.training.base_model import load_base
from so8t_core.training.footprint import (
    Load,
    Means,
    ModelShape,
    estimate,
    kept_per_token,
    lora_parameters,
    recomputed_layers,
)
from so8t_core.training.fused import fuse
from so8t_core.training.gate_terms import active_gates, trained_gates
from so8t_core.training.optimizer import build_optimizer
from so8t_core.training.rotation_bank import RotationBank

# transformers 5.x asks by the older name
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
CPU = torch.device("cpu")
SHORT, LONG = 64, 96
STOCK = Means(element=4, liger=False, fused=False)
PHI = {
    "vocab_size": 32064,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}


def adapted(model: Path, **settings: Any) -> tuple[Any, TrainSettings]:
    chosen = TrainSettings.model_validate(
        {"lora_rank": 16, "lora_dropout": 0.0, "optimizer": "adamw", "device": "cpu", **settings}
    )
    base = load_base(model, chosen, CPU, torch.float32)
    return attach_adapter(base, chosen, 0).train(), chosen


def saved_bytes(model: nn.Module, length: int) -> int:
    """Bytes of all storages that a forward pass of two rows keeps, weights left out."""
    bank = RotationBank(active_gates(model))
    bank.open()
    known = {p.untyped_storage().data_ptr() for p in model.parameters()}
    known |= {b.untyped_storage().data_ptr() for b in model.buffers()}
    for gate in active_gates(model):
        assert gate.prepared is not None
        known.add(gate.prepared.untyped_storage().data_ptr())
    for module in model.modules():
        for part in ("CB", "SCB"):
            held = getattr(getattr(module, "state", None), part, None)
            if isinstance(held, Tensor):
                known.add(held.untyped_storage().data_ptr())
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.arange(2 * length).view(2, length) % 500
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(input_ids=ids, labels=ids).loss
    del loss
    bank.close()
    return sum(kept.values())


def saved_per_token(model: nn.Module) -> float:
    """Bytes that one more token makes: what does not depend on tokens drops out."""
    saved_bytes(model, 8)  # the first product moves int8 codes to where they are known
    return (saved_bytes(model, LONG) - saved_bytes(model, SHORT)) / (2 * (LONG - SHORT))


def per_layer(model: Any) -> float:
    """Bytes a token that one layer keeps: the difference that taking one away makes."""
    whole = saved_per_token(model)
    layers = model.base_model.model.model.layers
    last = layers[-1]
    del layers[-1]
    fewer = saved_per_token(model)
    layers.append(last)
    return whole - fewer


def test_a_layer_keeps_what_is_counted(model: Path) -> None:
    """Hand count: saved tensors of the tiny model, stock operations in float32."""
    tiny, settings = adapted(model, gradient_checkpointing=False)
    multiply_dequantized(tiny)
    shape = ModelShape.of_folder(model)
    counted = kept_per_token(settings, shape, STOCK, gate=True)
    # the CPU's attention copies its result once more, and each norm keeps one number a token
    extra = 4 * shape.width + 2 * 4
    assert per_layer(tiny) == counted + extra


def test_joined_operations_keep_what_is_counted(model: Path) -> None:
    tiny, settings = adapted(model, gradient_checkpointing=False, lora_dropout=0.05)
    multiply_dequantized(tiny)
    fuse(tiny)
    means = Means(element=4, liger=False, fused=True)
    shape = ModelShape.of_folder(model)
    counted = kept_per_token(settings, shape, means, gate=True)
    assert per_layer(tiny) == counted + 2 * 4


def test_recomputed_layers_keep_their_input_alone(model: Path) -> None:
    half, _ = adapted(model, gradient_checkpointing=0.5)
    whole, _ = adapted(model, gradient_checkpointing=False)
    shape = ModelShape.of_folder(model)
    difference = saved_per_token(whole) - saved_per_token(half)
    # without checkpointing the embeddings need no gradient, so the first norm keeps nothing
    first = 4 * shape.width + 4
    assert difference == 2 * (per_layer(whole) - 4 * shape.width) - first


def test_half_of_the_layers_recompute_and_give_the_same_gradients(model: Path) -> None:
    gradients = []
    for chosen in (False, 0.5, True):
        tiny, _ = adapted(model, gradient_checkpointing=chosen)
        multiply_dequantized(tiny)  # our own autograd function, as on a GPU
        with torch.no_grad():
            for name, weight in trained_weights(tiny).items():
                generator = torch.Generator().manual_seed(len(name))
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.05)
        ids = torch.arange(64).view(2, 32)
        tiny(input_ids=ids, labels=ids).loss.backward()
        gradients.append({n: p.grad for n, p in tiny.named_parameters() if p.requires_grad})
        again = [layer.gradient_checkpointing for layer in tiny.base_model.model.model.layers]
        assert again == list(recomputed_layers(float(chosen), 4))
    for name, gradient in gradients[0].items():
        assert torch.equal(gradient, gradients[1][name])
        assert torch.equal(gradient, gradients[2][name])


@pytest.mark.parametrize("storage", ["int8", "float32", "bf16"])
def test_the_fixed_parts_are_those_of_the_loaded_model(model: Path, storage: str) -> None:
    tiny, settings = adapted(model, base_storage=storage, gradient_checkpointing=False)
    shape = ModelShape.of_folder(model)
    parts = estimate(shape, settings, STOCK, Load(1, 8, (False,) * 4)).parts
    trained = trained_weights(tiny)
    frozen = sum(
        p.nbytes
        for n, p in tiny.named_parameters()
        if not p.requires_grad and "rotation_gate" not in n
    )
    scales = sum(m.weight.SCB.nbytes for m in tiny.modules() if isinstance(m, Linear8bitLt))
    assert parts["base"] == frozen + scales
    lora = sum(w.numel() for n, w in trained.items() if "lora" in n)
    assert lora == shape.layers * lora_parameters(settings, shape)
    assert parts["adapter"] == parts["gradients"] == 4 * lora
    assert parts["optimizer"] == 8 * lora


def test_eight_bit_states_are_counted_with_their_scales() -> None:
    shape = ModelShape.of(PHI, gates=False)
    settings = TrainSettings(optimizer="adamw_8bit")
    parts = estimate(shape, settings, STOCK, Load(1, 8, (True,) * 32)).parts
    weights = nn.ParameterList([nn.Parameter(torch.zeros(64, 3072))])
    optimizer = build_optimizer(weights, trained_gates(weights), settings, CPU, RecordingEmitter())
    weights[0].grad = torch.ones(64, 3072)
    optimizer.step()
    state = optimizer.state[weights[0]]
    tables = ("qmap1", "qmap2")  # shared by all tensors
    bytes_each = sum(
        v.nbytes for k, v in state.items() if isinstance(v, Tensor) and k not in tables and v.dim()
    ) / (64 * 3072)
    trained = 32 * lora_parameters(settings, shape)
    assert parts["optimizer"] == pytest.approx(bytes_each * trained, rel=0.01)


@pytest.mark.parametrize(
    ("storage", "liger", "fused", "gates", "measured_gb"),
    [
        ("bf16", False, False, False, 13.1),
        ("int8", False, False, False, 9.6),
        ("int8", True, False, False, 8.03),
        ("int8", True, False, True, 8.09),
        ("int8", True, True, True, 7.95),
        ("bf16", True, False, False, 12.0),
    ],
    ids=["bf16", "int8", "int8-liger", "int8-liger-gates", "int8-joined-gates", "bf16-liger"],
)
def test_the_estimate_is_within_six_percent_of_our_own_measurements(
    storage: str, liger: bool, fused: bool, gates: bool, measured_gb: float
) -> None:
    """Peaks of `benchmarks/gated_step.py` on one H100, from docs/log.md; one micro-batch a step."""
    settings = TrainSettings.model_validate(
        {"base_storage": storage, "optimizer": "adamw_8bit", "lora_dropout": 0.05}
    )
    load = Load(4, 2048, (True,) * 32, accumulated=False)
    means = Means(element=2, liger=liger, fused=fused)
    found = estimate(ModelShape.of(PHI, gates=gates), settings, means, load)
    assert found.peak_bytes / 1e9 == pytest.approx(measured_gb, rel=0.06)


def test_memory_grows_with_what_is_kept() -> None:
    shape = ModelShape.of(PHI, gates=True)
    means = Means(element=2, liger=True, fused=True)
    peaks = [
        estimate(
            shape, TrainSettings(), means, Load(4, 2048, recomputed_layers(share, 32))
        ).peak_bytes
        for share in (1.0, 0.75, 0.5, 0.25, 0.0)
    ]
    assert peaks == sorted(peaks)
    assert peaks[-1] > 3 * peaks[0]


def test_the_first_layers_are_the_ones_that_recompute() -> None:
    assert recomputed_layers(0.5, 4) == (True, True, False, False)
    assert recomputed_layers(0.0, 3) == (False,) * 3
    assert recomputed_layers(1.0, 3) == (True,) * 3


def test_a_configuration_without_sizes_is_named() -> None:
    with pytest.raises(ModelError, match="intermediate_size"):
        ModelShape.of({k: v for k, v in PHI.items() if k != "intermediate_size"}, gates=False)
