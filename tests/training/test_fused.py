"""LoRA's fused product against PEFT's own path and plain autograd, on a CPU in float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Int8Params, Linear4bit, Linear8bitLt, Params4bit
from peft import PeftModel
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.phi3.modeling_phi3 import Phi3RMSNorm, apply_rotary_pos_emb

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model import ops
from so8t_core.model.int8 import as_stored, multiply_dequantized
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TPhi3ForCausalLM
from so8t_core.model.ops import reference
from so8t_core.model.ops.reference import Dropout
from so8t_core.model.so8 import rotation
from so8t_core.training.adapter import attach_adapter, trained_weights
from so8t_core.training.base_model import _checkpoint_activations
from so8t_core.training.frozen_weight import FrozenWeight
from so8t_core.training.fused import fuse, unfuse
from so8t_core.training.fused_lora import LoraBank, LoraProduct, fuse_lora
from so8t_core.training.fused_phi3 import Norm, SumAndNorm, TurnedHeads
from so8t_core.training.gate_terms import active_gates
from so8t_core.training.packed_attention import ENDS
from so8t_core.training.rotation_bank import RotationBank
from tests.training.trial import QUICK

IDS = torch.arange(40).view(2, 20)


def adapted(parametrisation: str = "exp", **more: Any) -> PeftModel:
    """A random gated model with LoRA whose B and whose gates are not at their start."""
    torch.manual_seed(0)
    base = SO8TPhi3ForCausalLM(
        SO8TPhi3Config(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            pad_token_id=0,
            eos_token_id=1,
            gate_parametrisation=parametrisation,
        )
    )
    settings = TrainSettings(**{**QUICK, "lora_rank": 4, "lora_dropout": 0.0, **more})
    model = attach_adapter(base, settings, 0)
    with torch.no_grad():
        for weight in trained_weights(model).values():
            weight += 0.2 * torch.randn_like(weight)
    return model.train()


def gradients(model: PeftModel, *, bank: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the gradients of everything trained."""
    rotations = RotationBank(active_gates(model) if bank else ())
    rotations.open()
    result = model(input_ids=IDS, labels=IDS, use_cache=False)
    result.loss.backward()
    rotations.send_back()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return result.logits.detach(), found


@pytest.mark.parametrize("parametrisation", ["exp", "cayley", "free"])
@pytest.mark.parametrize("bank", [False, True], ids=["each", "bank"])
def test_the_fused_product_has_the_logits_and_gradients_of_peft(
    parametrisation: str, bank: bool
) -> None:
    stock = adapted(parametrisation)
    fused = copy.deepcopy(stock)
    assert fuse(fused) == (2 * 4, 2 * 5 + 1)
    expected_logits, expected = gradients(stock)
    logits, found = gradients(fused, bank=bank)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-5)
    assert found.keys() == expected.keys()
    assert any("rotation_gate" in name for name in found)
    for name, gradient in expected.items():
        # float32: sums in another order, through two layers
        assert (found[name] - gradient).abs().max() <= 1e-3 * gradient.abs().max(), name


def test_checkpointed_activations_are_dropped_out_as_before() -> None:
    plain, checkpointed = adapted(lora_dropout=0.3), adapted(lora_dropout=0.3)
    for model in (plain, checkpointed):
        fuse(model)
    _checkpoint_activations(checkpointed.base_model.model)
    torch.manual_seed(3)
    logits, expected = gradients(plain)
    torch.manual_seed(3)
    again, found = gradients(checkpointed)
    assert torch.equal(logits, again)
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name
    torch.manual_seed(4)
    other, _ = gradients(plain)
    assert not torch.equal(other, logits)


def test_dropout_has_the_gradients_of_the_same_mask_written_out() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(24, 16, bias=False).requires_grad_(False)
    dropout = Dropout(0.4, (12345, 678910))
    leaves = [torch.randn(shape) for shape in ((9, 24), (3, 24), (16, 3))]
    leaves.append(rotation(torch.randn(2, 28), "exp"))
    for leaf in leaves:
        leaf.requires_grad_()
    upstream = torch.randn(9, 16)
    x, a, b, matrices = leaves
    product = LoraProduct.apply(x, a, b, matrices, FrozenWeight(linear), 0.5, dropout, None)
    product.backward(upstream)
    found = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    mask = reference.kept(9, 24, dropout, x.device)
    assert dropout.scale == pytest.approx(1 / 0.6, rel=1e-4)
    h = x @ linear.weight.t() + 0.5 * ((x * mask * dropout.scale) @ a.t() @ b.t())
    y = torch.einsum("bij,tbj->tbi", matrices, h.view(9, 2, 8)).reshape(9, 16)
    y.backward(upstream)
    for leaf, gradient in zip(leaves, found, strict=True):
        torch.testing.assert_close(gradient, leaf.grad, rtol=1e-4, atol=1e-5)


def test_masks_keep_their_share_and_differ_by_key_row_and_column() -> None:
    mask = reference.kept(512, 512, Dropout(0.05, (1, 2)), torch.device("cpu")).float()
    # six standard deviations of a binomial share
    assert abs(mask.mean().item() - 0.95) < 6 * (0.05 * 0.95 / 512**2) ** 0.5
    assert (mask.mean(0) - 0.95).abs().max() < 6 * (0.05 * 0.95 / 512) ** 0.5
    assert (mask.mean(1) - 0.95).abs().max() < 6 * (0.05 * 0.95 / 512) ** 0.5
    dropped = 1 - mask
    for keys in ((1, 3), (3, 2), (2, 1)):
        other = 1 - reference.kept(512, 512, Dropout(0.05, keys), torch.device("cpu")).float()
        both = (dropped * other).mean().item()
        assert abs(both - 0.0025) < 6 * (0.0025 * 0.9975 / 512**2) ** 0.5, keys
    for apart in (1, reference.FELLOW):
        both = (dropped[:, apart:] * dropped[:, :-apart]).mean().item()
        assert abs(both - 0.0025) < 6 * (0.0025 * 0.9975 / 512**2) ** 0.5, apart


def test_disabled_and_unfused_adapters_compute_as_stock() -> None:
    model = adapted()
    expected, _ = gradients(model)
    with torch.no_grad(), model.disable_adapter():
        bare = model(input_ids=IDS, use_cache=False).logits
    fuse_lora(model)
    with torch.no_grad(), model.disable_adapter():
        assert torch.equal(model(input_ids=IDS, use_cache=False).logits, bare)
    assert not torch.equal(bare, expected)
    unfuse(model)
    again, _ = gradients(model)
    assert torch.equal(again, expected)


def test_a_saved_adapter_is_the_same_fused_or_not(tmp_path: Path) -> None:
    stock = adapted()
    fused = copy.deepcopy(stock)
    fuse_lora(fused)
    for name, model in (("stock", stock), ("fused", fused)):
        model.save_pretrained(str(tmp_path / name))
    same = [
        (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("stock", "fused")
    ]
    assert same[0] == same[1]


def test_copies_made_once_a_step_are_those_of_each_product() -> None:
    model = adapted()
    fuse(model)
    bank = LoraBank(model, torch.bfloat16)
    results = []
    for prepared in (False, True):
        if prepared:
            bank.open()
        with torch.autocast("cpu", torch.bfloat16):
            results.append(gradients(model))
        bank.close()
        model.zero_grad()
    (logits, expected), (again, found) = results
    assert torch.equal(logits, again)
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name


def test_rows_of_one_sequence_need_neither_mask_nor_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    model = adapted()
    model.base_model.model.set_attn_implementation("sdpa")
    fuse(model)
    masks: list[Tensor | None] = []
    attend = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def noting(*arguments: Any, **named: Any) -> Any:
        masks.append(arguments[4])
        return attend(*arguments, **named)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "sdpa", noting)
    plain = model(input_ids=IDS, use_cache=False).logits
    two = torch.tensor([[20, 20], [7, 20]])
    positions = torch.stack((torch.arange(20), torch.arange(20) - 7 * (torch.arange(20) >= 7)))
    for ends, places in ((torch.tensor([[20], [20]]), positions[:1]), (two, positions)):
        masks.clear()
        batch = {"input_ids": IDS, "position_ids": places.expand(2, 20), ENDS: ends.int()}
        found = model(**batch, use_cache=False).logits
        torch.testing.assert_close(found[0], plain[0])
        assert masks == ([None] * 2 if ends.shape[1] == 1 else [])
        assert torch.allclose(found[1], plain[1], atol=1e-4) == (ends.shape[1] == 1)


@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "hooked"])
def test_a_layer_that_runs_again_leaves_out_its_last_product(
    monkeypatch: pytest.MonkeyPatch, reentrant: bool
) -> None:
    model = adapted(lora_dropout=0.3)
    fuse(model)
    base: Any = model.base_model.model
    base.enable_input_require_grads()
    unread: list[bool] = []
    forward = LoraProduct.forward

    def noting(*arguments: Any) -> Tensor:
        unread.append(arguments[-2])
        return forward(*arguments)

    monkeypatch.setattr(LoraProduct, "forward", staticmethod(noting))
    torch.manual_seed(3)
    logits, expected = gradients(model)
    assert unread == [False] * 8
    model.zero_grad()
    unread.clear()
    old = "gradient_checkpointing_enable"  # before transformers 5.2x
    enable = getattr(base, "activation_checkpointing_enable", None) or getattr(base, old)
    enable({"use_reentrant": reentrant})
    torch.manual_seed(3)
    again, found = gradients(model)
    assert torch.equal(logits, again)
    assert unread == [False] * 8 + [False, False, False, True] * 2
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name


def test_generation_with_a_cache_is_that_of_the_stock_model() -> None:
    model = adapted().eval()
    base: Any = model.base_model.model

    def generated() -> list[int]:
        tokens: list[int] = base.generate(
            IDS[:1], do_sample=False, max_new_tokens=6, min_new_tokens=6
        )[0].tolist()
        return tokens

    expected = generated()
    fuse(model)
    assert generated() == expected


def test_sums_and_norms_have_the_gradients_of_autograd() -> None:
    torch.manual_seed(0)
    norm = Phi3RMSNorm(24, eps=1e-3)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(24))
    norm.weight.requires_grad_(False)
    x, added = (torch.randn(5, 24, requires_grad=True) for _ in range(2))
    upstream = torch.randn(5, 24), torch.randn(5, 24)
    for summand in (added, None):
        place = torch.empty(5, 30)
        found = SumAndNorm.apply(x, summand, norm.weight, norm.variance_epsilon, place[:, :24])
        total = x if summand is None else x + summand
        expected = (total.view_as(total), norm(total))
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
        assert found[1].data_ptr() == place.data_ptr()
        inputs = (x,) if summand is None else (x, summand)
        ours = torch.autograd.grad(found, inputs, upstream)
        theirs = torch.autograd.grad(expected, inputs, upstream)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)
    alone = Norm.apply(x, norm.weight, norm.variance_epsilon)
    torch.testing.assert_close(alone, norm(x))
    (ours_alone,) = torch.autograd.grad(alone, x, upstream[0])
    (theirs_alone,) = torch.autograd.grad(norm(x), x, upstream[0])
    torch.testing.assert_close(ours_alone, theirs_alone)


def test_swiglu_and_turned_heads_have_the_gradients_of_autograd() -> None:
    torch.manual_seed(0)
    joined = torch.randn(5, 14, requires_grad=True)
    upstream = torch.randn(5, 7)
    reference.swiglu(joined).backward(upstream)
    assert joined.grad is not None
    torch.testing.assert_close(reference.swiglu_back(joined.detach(), upstream), joined.grad)
    joined = torch.randn(2, 6, (4 + 2 * 2) * 8, requires_grad=True)
    angles = torch.randn(1, 6, 3).repeat(1, 1, 2)  # six of eight numbers turn
    product = joined.clone()  # the heads take its place
    q, k, v = TurnedHeads.apply(product, angles.cos(), angles.sin(), 4, 2)
    assert q.data_ptr() == product.data_ptr()
    cut = [one.transpose(1, 2) for one in joined.unflatten(-1, (8, 8)).split((4, 2, 2), dim=2)]
    expected = (*apply_rotary_pos_emb(cut[0], cut[1], angles.cos(), angles.sin()), cut[2])
    gradients = [torch.randn_like(one) for one in (q, k, v)]
    for found, wanted in zip((q, k, v), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    (of_found,) = torch.autograd.grad((q, k, v), joined, gradients)
    (of_wanted,) = torch.autograd.grad(expected, joined, gradients)
    torch.testing.assert_close(of_found, of_wanted)


def in_int8(model: PeftModel) -> PeftModel:
    """The same with its frozen linears stored in int8, multiplied by their dequantised weights."""
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            plain: Any = layer.base_layer
            eight = Linear8bitLt(
                plain.in_features, plain.out_features, bias=False, has_fp16_weights=False
            )
            eight.weight = Int8Params(plain.weight.data, requires_grad=False)
            layer.base_layer = eight.to("cpu")
    multiply_dequantized(model)
    return model


@pytest.mark.parametrize("checkpointed", [False, True], ids=["kept", "checkpointed"])
def test_an_int8_weight_and_its_b_are_one_product(
    monkeypatch: pytest.MonkeyPatch, checkpointed: bool
) -> None:
    stock = in_int8(adapted())
    fused = copy.deepcopy(stock)
    fuse(fused)
    joined = []
    dequantize = ops.dequantize

    def counted(codes: Tensor, scales: Tensor, dtype: torch.dtype, beside: Any = None) -> Tensor:
        joined.append(beside is not None)
        return dequantize(codes, scales, dtype, beside)

    monkeypatch.setattr(ops, "dequantize", counted)
    if checkpointed:
        _checkpoint_activations(fused.base_model.model)
    expected_logits, expected = gradients(stock)
    joined.clear()
    logits, found = gradients(fused, bank=True)
    # qkv, gate and up, and down of two layers, twice where they are computed anew; o has the gate
    assert sum(joined) == (12 if checkpointed else 6)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-5)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max() <= 1e-3 * gradient.abs().max(), name


def test_room_is_used_for_the_input_that_was_written_there_alone() -> None:
    model = in_int8(adapted())
    fuse(model)
    forward: Any = next(
        m.forward
        for m in model.modules()
        if isinstance(m, LoraLayer) and m.base_layer.out_features == 96
    )
    x = torch.randn(7, 32)
    expected = forward(x)
    place = forward.input_place(x, 32)
    assert (place.shape, place.stride()) == ((7, 32), (36, 1))
    assert torch.equal(forward(x), expected)  # x does not lie there
    assert torch.equal(forward(x), expected)
    place = forward.input_place(x, 32)
    place.copy_(x)
    torch.testing.assert_close(forward(place), expected)
    assert forward.input_place(x.half(), 32) is None  # rank 4 in 16 bits would not be aligned


def test_frozen_weights_are_what_their_linears_multiply_by() -> None:
    torch.manual_seed(0)
    plain = nn.Linear(128, 64, bias=False).requires_grad_(False)
    four = Linear4bit(128, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
    four.weight = Params4bit(plain.weight.data, requires_grad=False, quant_type="nf4")
    four = four.to("cpu")
    eight = Linear8bitLt(128, 64, bias=False, has_fp16_weights=False)
    eight.weight = Int8Params(plain.weight.data, requires_grad=False, has_fp16_weights=False)
    eight = eight.to("cpu")
    x = torch.randn(3, 128)
    assert torch.equal(FrozenWeight(plain).dense(torch.float32, None), plain.weight)
    assert torch.equal(x @ FrozenWeight(four).dense(torch.float32, None).t(), four(x))
    assert torch.equal(FrozenWeight(eight).dense(torch.float32, None), as_stored(plain.weight))
    matrices = rotation(0.3 * torch.randn(8, 28), "exp")
    for linear in (plain, four, eight):
        dense = FrozenWeight(linear).dense(torch.float32, None)
        turned = torch.einsum("bij,bjc->bic", matrices, dense.view(8, 8, 128)).reshape(64, 128)
        found = FrozenWeight(linear).dense(torch.float32, matrices)
        torch.testing.assert_close(found, turned, rtol=1e-5, atol=1e-6)
