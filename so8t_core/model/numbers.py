"""Are a model's sizes in config.json those of its stored tensors? Asked before anything is built.

Building a model, even without memory for its weights, takes the time and the layers that the
configuration names; so nothing of it is believed before the shards agree.
"""

from __future__ import annotations

import re
from typing import Any

from so8t_core.contract.errors import ModelError
from so8t_core.model.weights import CONFIG_FILE, ModelFolder

_REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
)
_OPTIONAL = ("num_key_value_heads", "head_dim", "sliding_window", "max_position_embeddings")
_LAYER = re.compile(r"model\.layers\.(\d{1,6})\.")
_BLOCK = 8
_MEND = "Fetch the model again, or mend the named field."
_ANOTHER = "config.json and weights belong to different models; fetch both again."


def check_numbers(model: ModelFolder) -> None:
    """Raise `ModelError` where a size is no positive integer, or not that of the stored tensors."""
    for name in (*_REQUIRED, *_OPTIONAL):
        if name in _REQUIRED or model.config.get(name) is not None:
            _check_size(model, name)
    _check_heads(model)
    _check_layers(model)
    _check_sides(model)
    _check_architectures(model)
    _check_labels(model)
    _check_positive(model, "rms_norm_eps", model.config.get("rms_norm_eps"))
    _check_positive(model, "rope_theta", model.config.get("rope_theta"))
    positions = model.config.get("rope_parameters")
    if isinstance(positions, dict):
        _check_positive(model, "rope_parameters.rope_theta", positions.get("rope_theta"))


def _check_heads(model: ModelFolder) -> None:
    width, heads = model.config["hidden_size"], model.config["num_attention_heads"]
    groups, head_width = model.config.get("num_key_value_heads"), model.config.get("head_dim")
    if width % _BLOCK:
        raise _wrong(
            model,
            "hidden_size",
            f"The model's width {width} is not divisible by 8.",
            "Rotations act on blocks of eight; choose another base.",
        )
    if head_width is None and width % heads:
        raise _wrong(
            model,
            "num_attention_heads",
            f"The model's width {width} is not divisible by its {heads} attention heads.",
            _MEND,
        )
    if heads % (groups or heads):
        raise _wrong(
            model,
            "num_key_value_heads",
            f"The {heads} attention heads are not divisible by {groups} key-value heads.",
            _MEND,
        )
    if max(heads, head_width or 0) > width:
        raise _wrong(
            model,
            "num_attention_heads, head_dim",
            f"The attention heads are more, or wider, than the model's width {width}.",
            _MEND,
        )


def _wrong(model: ModelFolder, name: str, what: str, hint: str) -> ModelError:
    return ModelError(what, where=f"{model.path / CONFIG_FILE}: {name}", hint=hint)


def _check_size(model: ModelFolder, name: str) -> None:
    value: Any = model.config.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return
    found = "is missing" if value is None else f"is {str(value)[:40]!r}"
    raise _wrong(
        model,
        name,
        f"The configuration's {name} {found}; a positive integer is expected.",
        _MEND,
    )


def _check_positive(model: ModelFolder, name: str, value: Any) -> None:
    """Any other makes logits NaN. What is left out has its default."""
    if value is None or (isinstance(value, int | float) and value > 0):
        return
    what = f"The configuration's {name} is {str(value)[:40]!r}; a positive number is expected."
    raise _wrong(model, name, what, _MEND)


def _check_labels(model: ModelFolder) -> None:
    """A classifier's labels, of which transformers makes a table even where there are none."""
    labels, tokens = model.config.get("num_labels"), model.config["vocab_size"]
    if labels is None or (isinstance(labels, int) and labels <= tokens):
        return
    what = f"The configuration's num_labels is {str(labels)[:40]!r}; a language model has none."
    raise _wrong(model, "num_labels", what, "Remove the field; it is a classifier's.")


def _check_layers(model: ModelFolder) -> None:
    told = model.config["num_hidden_layers"]
    stored = {int(found[1]) for name in model.tensors if (found := _LAYER.match(name))}
    if stored == set(range(min(told, len(stored) + 1))):
        return
    if told > len(stored):
        what = f"lacks layers: config.json names {told}, the weights hold {len(stored)}"
    else:
        what = f"has layers that config.json does not know: {told} are named, {len(stored)} stored"
    raise _wrong(model, "num_hidden_layers", f"The model {what}.", _ANOTHER)


def _check_sides(model: ModelFolder) -> None:
    """The sides of the two tensors that show width, vocabulary and intermediate size."""
    config = model.config
    width = config["hidden_size"]
    for name, shape in (
        ("model.embed_tokens.weight", (config["vocab_size"], width)),
        ("model.layers.0.mlp.down_proj.weight", (width, config["intermediate_size"])),
    ):
        entry = model.tensors.get(name)
        if entry is None:
            raise ModelError(
                f"The model lacks the tensor {name}.",
                where=str(model.path),
                hint="Fetch the model again.",
            )
        if entry.shape != shape:
            raise ModelError(
                f"The tensor {name} has the shape {entry.shape} in place of {shape}.",
                where=str(model.path / entry.file),
                hint=_ANOTHER,
            )


def _check_architectures(model: ModelFolder) -> None:
    named = model.config.get("architectures")
    if named is None or (isinstance(named, list) and all(isinstance(one, str) for one in named)):
        return
    raise _wrong(
        model,
        "architectures",
        f"The configuration's architectures are {str(named)[:40]!r}; a list of names is expected.",
        _MEND,
    )
