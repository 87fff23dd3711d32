"""The frozen base: loaded quantised, and proven to be what was asked for."""

# transformers and bitsandbytes annotate only part of what is called here
# mypy: disable-error-code="no-untyped-call, attr-defined"
from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from so8t_core.contract.errors import InputMissing, ModelError, ResourceError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model import register
from so8t_core.model.int8 import multiply_dequantized
from so8t_core.model.loading import load_tokenizer, quiet_transformers
from so8t_core.training.footprint import recomputed_layers
from so8t_core.training.liger import apply_liger, liger_wanted
from so8t_core.training.long_positions import choose_by_sample
from so8t_core.training.outside import require_model

KEPT_IN_FULL = ("lm_head", "rotation_gate", "embed_tokens")
"""Modules that quantisation must leave alone; naming any replaces transformers' own default."""
_LAYER = re.compile(r"\.\d+\.")
_STORED = {"int8": torch.int8, "nf4": torch.uint8}
_STORED_SHARDED = torch.bfloat16
"""What the bits of an NF4 weight are kept as where FSDP shares it out: torch below 2.13 has parts
of floating types alone."""
_PLAIN = {"bf16": torch.bfloat16, "float32": torch.float32}


def choose_device(settings: TrainSettings) -> torch.device:
    """The device asked for. Raises `ResourceError` when there is no such GPU, or one is needed."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "No CUDA device is visible.",
            where="train.device",
            hint="Set `train.device: auto`, or check the driver with `so8t doctor`.",
        )
    if settings.device == "cpu" or not torch.cuda.is_available():
        if settings.base_storage == "nf4":
            raise ResourceError(
                "Training on NF4 weights needs a GPU: on CPU bitsandbytes has no gradient for it.",
                where="train.base_storage",
                hint="Set `train.base_storage: int8`, which trains on CPU as well.",
            )
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def choose_dtype(settings: TrainSettings, device: torch.device) -> torch.dtype:
    """The precision of the arithmetic; never float16, which CPUs do not train in."""
    if settings.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if settings.dtype == "bfloat16" else torch.float32


def load_own_tokenizer(folder: Path) -> Any:
    """The checkpoint's own tokenizer. Raises `InputMissing` where there is none."""
    require_model(folder)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise InputMissing(
            "The model has no tokenizer.",
            where=str(folder),
            hint="Copy tokenizer.json and tokenizer_config.json of the base into the folder.",
        )
    return load_tokenizer(folder)


def load_base(
    folder: Path,
    settings: TrainSettings,
    device: torch.device,
    dtype: torch.dtype,
    place: torch.device | None = None,
) -> nn.Module:
    """Load an SO8T checkpoint, its linears stored as `settings.base_storage` says.

    `place`: where its weights are put, if they are not to go to `device` at once. Raises
    `ModelError` when a weight is missing, or it was not stored as asked.
    """
    register()
    # it warns at every single product that inputs are rounded, which is what int8 means
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    with quiet_transformers():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=_PLAIN.get(settings.base_storage, dtype),
            quantization_config=_quantisation(settings, dtype),
            device_map=one_device(place or device),
            attn_implementation="sdpa",
            local_files_only=True,
            output_loading_info=True,
        )
    base, info = loaded
    if missing := sorted(map(str, info["missing_keys"])):
        raise ModelError(
            f"The checkpoint lacks weights: {', '.join(missing[:3])}.",
            where=str(folder),
            hint="Run `so8t integrate` again.",
        )
    # or each pass would copy all keys and values for nobody; who generates asks for a cache
    base.config.use_cache = False
    _require_targets(base, settings.lora_targets, str(folder))
    _require_storage(base, settings, str(folder))
    if device.type == "cuda" and settings.int8_matmul == "dequantized":
        multiply_dequantized(base)
    if liger_wanted(settings, device):
        apply_liger(base)
    choose_by_sample(base, settings.max_length_tokens)
    if settings.recomputed_share:
        _checkpoint_activations(base, settings.recomputed_share)
    model: nn.Module = base
    return model


def one_device(device: torch.device) -> dict[str, int | str | None]:
    """The map that transformers takes for a model that is all on one device."""
    return {"": device.index if device.type == "cuda" else "cpu"}


def _checkpoint_activations(base: Any, share: float = 1.0) -> None:
    """Have that share of the layers recompute their activations, as `recomputed_layers` says."""
    # Re-entrant: bitsandbytes' own int8 and 4-bit products keep each input as an attribute, which
    # the other kind cannot drop.
    base.enable_input_require_grads()
    enable = getattr(base, "activation_checkpointing_enable", None)
    if enable is None:  # before transformers 5.2x
        enable = base.gradient_checkpointing_enable
    enable({"use_reentrant": True})
    layers = base.model.layers
    for layer, again in zip(layers, recomputed_layers(share, len(layers)), strict=True):
        layer.gradient_checkpointing = again


def _quantisation(settings: TrainSettings, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    if settings.base_storage == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(KEPT_IN_FULL))
    if settings.base_storage == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=_stored_as(settings),
            llm_int8_skip_modules=list(KEPT_IN_FULL),
        )
    return None


def _stored_as(settings: TrainSettings) -> torch.dtype | None:
    sharded = settings.base_storage == "nf4" and settings.parallel == "fsdp"
    return _STORED_SHARDED if sharded else _STORED.get(settings.base_storage)


def _linears(base: Any, targets: Sequence[str]) -> dict[str, list[nn.Linear]]:
    """Of the layers alone: the head is in full precision, often tied, and part of the loss."""
    found: dict[str, list[nn.Linear]] = {target: [] for target in targets}
    for name, module in base.model.layers.named_modules():
        last = name.rpartition(".")[2]
        if last in found and isinstance(module, nn.Linear):
            found[last].append(module)
    return found


def _require_targets(base: Any, targets: Sequence[str], where: str) -> None:
    unmatched = [target for target, modules in _linears(base, targets).items() if not modules]
    if unmatched:
        there = {
            name.rpartition(".")[2]
            for name, module in base.model.layers.named_modules()
            if isinstance(module, nn.Linear)
        }
        raise no_such_linears(unmatched, there, where)


def no_such_linears(targets: Sequence[str], there: Iterable[str], where: str) -> ModelError:
    """That LoRA was asked for on linears that the layers do not have."""
    return ModelError(
        f"The model's layers have no linear named {', '.join(targets)}.",
        where=f"train.lora_targets, {where}",
        hint=f"Their linears are {', '.join(sorted(there))}.",
    )


def _require_storage(base: Any, settings: TrainSettings, where: str) -> None:
    stored = _stored_as(settings)
    if stored is None:
        return
    kind = Linear8bitLt if settings.base_storage == "int8" else Linear4bit
    for target, modules in _linears(base, settings.lora_targets).items():
        for module in modules:
            if not isinstance(module, kind) or module.weight.dtype != stored:
                raise ModelError(
                    f"{target} was asked for as {settings.base_storage} and loaded as "
                    f"{str(module.weight.dtype).removeprefix('torch.')}.",
                    where=where,
                    hint="Check the installed bitsandbytes with `so8t doctor`, or set "
                    "`train.base_storage: bf16`.",
                )


def set_evaluating(model: nn.Module) -> None:
    """Switch to evaluation, with the arithmetic of training.

    On CPU, bitsandbytes' int8 linears in evaluation mode quantise the activations too, which is
    other arithmetic and many times slower; they have no dropout, so they stay in training mode.
    """
    model.eval()
    for module in model.modules():
        if isinstance(module, Linear8bitLt) and module.weight.device.type == "cpu":
            module.train()


def weight_dtypes(model: nn.Module) -> dict[str, str]:
    """The dtype of every group of weights: layers taken together, such as `layers.*.o_proj`."""
    groups: dict[str, set[str]] = {}
    for name, parameter in model.named_parameters():
        kind = _LAYER.sub(".*.", name.removeprefix("base_model.model."))
        groups.setdefault(kind, set()).add(str(parameter.dtype).removeprefix("torch."))
    return {kind: "+".join(sorted(dtypes)) for kind, dtypes in sorted(groups.items())}
