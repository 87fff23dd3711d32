"""LoRA and gates trained together on an 8-bit base, as the train phase does it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import BitsAndBytesConfig

from so8t_core.model.gate_checks import gates_of
from so8t_core.model.loading import load_gated, quiet_transformers
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3ForCausalLM

# peft 0.21 asks transformers 5.23 by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

BATCH = torch.arange(5, 37)[None]


def load_quantised(gated: Path, config: BitsAndBytesConfig) -> SO8TPhi3ForCausalLM:
    with quiet_transformers():
        return SO8TPhi3ForCausalLM.from_pretrained(
            gated, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
        )


def adapt(model: SO8TPhi3ForCausalLM) -> PeftModel:
    return get_peft_model(
        model,
        LoraConfig(
            r=4,
            lora_alpha=8,
            target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"],
            modules_to_save=["rotation_gate"],
            task_type="CAUSAL_LM",
        ),
    )


def train(adapted: PeftModel, steps: int = 3) -> list[float]:
    trained = [value for value in adapted.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    losses = []
    for _ in range(steps):
        loss = adapted(BATCH, labels=BATCH).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("bits", [8, 4])
def test_a_quantised_base_keeps_its_gates_in_float32_and_learns(gated: Path, bits: int) -> None:
    model = load_quantised(
        gated, BitsAndBytesConfig(load_in_8bit=bits == 8, load_in_4bit=bits == 4)
    )
    assert type(model.model.layers[0].self_attn.o_proj).__name__ == (
        "Linear8bitLt" if bits == 8 else "Linear4bit"
    )
    assert {gate.theta.dtype for gate in gates_of(model)} == {torch.float32}
    losses = train(adapt(model))
    assert losses[-1] < losses[0]


def test_gates_move_in_training_and_survive_saving_and_loading(gated: Path, tmp_path: Path) -> None:
    adapted = adapt(load_gated(gated, dtype=torch.float32)).train()
    train(adapted)
    moved = {
        name: value.detach().clone()
        for name, value in adapted.named_parameters()
        if value.requires_grad and "rotation_gate" in name
    }
    assert len(moved) == 4
    assert all(value.abs().max() > 0 for value in moved.values())
    adapted.eval().save_pretrained(tmp_path)
    fresh = load_gated(gated, dtype=torch.float32)
    again = PeftModel.from_pretrained(fresh, tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(adapted(BATCH).logits, again(BATCH).logits)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gates_learn_through_checkpointing_with_frozen_embeddings(
    gated: Path, reentrant: bool
) -> None:
    adapted = adapt(load_gated(gated, dtype=torch.float32)).train()
    model = adapted.get_base_model()
    # the newer name of the same; transformers below 5.23 has the older one alone
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or getattr(model, "gradient_checkpointing_enable"))({"use_reentrant": reentrant})  # noqa: B009
    model.enable_input_require_grads()
    adapted(BATCH, labels=BATCH).loss.backward()
    grads = [
        value.grad
        for name, value in adapted.named_parameters()
        if "modules_to_save" in name and "theta" in name
    ]
    assert len(grads) == 4
    assert all(grad is not None and grad.abs().max() > 0 for grad in grads)
