"""How much GPU memory a training will take, counted before it starts.

The count follows what this program keeps: each part is a sum of shapes, and the walk through the
backward pass finds the moment when most is held. What torch's allocator gives out is counted, not
the CUDA context and not what fragmentation wastes; `fitting.py` leaves room for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import ModelError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model.accounting import GATED_TYPE
from so8t_core.model.weights import read_config

_QUANTISED_BLOCK = 64
"""Weights of NF4 that share a scale; 256 scales are quantised together once more."""
_STATE_BLOCK = 256
"""Numbers of an 8-bit optimiser state that share a scale."""
_BLOCK = 8


@dataclass(frozen=True)
class ModelShape:
    """What of a Phi-3's configuration decides its size."""

    width: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    inner: int
    vocabulary: int
    tied: bool
    gated_layers: int

    @classmethod
    def of(cls, config: Mapping[str, Any], *, gates: bool) -> ModelShape:
        """From the content of config.json; `gates`: count those that it names, or all layers'.

        Raises `ModelError` where a size is missing.
        """
        try:
            layers, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
            width = int(config["hidden_size"])
            gated = config.get("gate_layers")
            return cls(
                width=width,
                layers=layers,
                heads=heads,
                key_value_heads=int(config["num_key_value_heads"]),
                head_width=int(config.get("head_dim") or width // heads),
                inner=int(config["intermediate_size"]),
                vocabulary=int(config["vocab_size"]),
                tied=bool(config.get("tie_word_embeddings")),
                gated_layers=(layers if gated is None else len(gated)) if gates else 0,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The model's configuration lacks a size: {error}.",
                where="config.json",
                hint="Fetch the model again.",
            ) from error

    @classmethod
    def of_folder(cls, folder: Path) -> ModelShape:
        """Of a model folder, with gates where it is a gated checkpoint. Raises as `of`."""
        config = read_config(folder)
        return cls.of(config, gates=config.get("model_type") == GATED_TYPE)

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """(out, in) of the linears of a layer, by name."""
        queries = self.heads * self.head_width
        joined = queries + 2 * self.key_value_heads * self.head_width
        return {
            "qkv_proj": (joined, self.width),
            "o_proj": (self.width, queries),
            "gate_up_proj": (2 * self.inner, self.width),
            "down_proj": (self.width, self.inner),
        }


@dataclass(frozen=True)
class Means:
    """How a step computes. `element`: bytes of a number of the arithmetic, 2 or 4."""

    element: int
    liger: bool
    fused: bool


@dataclass(frozen=True)
class Load:
    """What is held at once: rows of a forward pass, their longest length, layers to recompute.

    `masked`: rows are packed, so attention has a mask. `accumulated`: gradients of earlier
    micro-batches are there already. `several`: DDP gathers gradients in buckets of its own.
    `shards`: among how many GPUs the frozen linears are shared out.
    """

    rows: int
    length: int
    recomputed: tuple[bool, ...]
    masked: bool = False
    accumulated: bool = True
    several: bool = False
    shards: int = 1

    @property
    def tokens(self) -> int:
        """Places in one forward pass."""
        return self.rows * self.length


@dataclass(frozen=True)
class Estimate:
    """`parts` in bytes add up to `peak_bytes`, which is reached `at` that moment."""

    parts: Mapping[str, int]
    at: str

    @property
    def peak_bytes(self) -> int:
        """Most that torch's allocator gives out at once."""
        return sum(self.parts.values())


def recomputed_layers(share: float, layers: int) -> tuple[bool, ...]:
    """Which layers recompute their activations: the first ones, `share` of all.

    Their turn comes last in the backward pass, when what the other layers kept is freed already.
    """
    count = round(share * layers)
    return tuple(layer < count for layer in range(layers))


def _layer_bytes(settings: TrainSettings, shape: ModelShape) -> tuple[int, int]:
    """A layer's linears as they are stored: their weights, and the scales beside those."""
    numbers = sum(out * inside for out, inside in shape.linears.values())
    if settings.base_storage == "int8":
        return numbers, 4 * sum(out for out, _ in shape.linears.values())
    if settings.base_storage == "nf4":
        scales = numbers // _QUANTISED_BLOCK
        return numbers // 2, scales + 4 * (scales // 256)
    return (2 if settings.base_storage == "bf16" else 4) * numbers, 0


def _stored_bytes(settings: TrainSettings, shape: ModelShape, element: int, shards: int) -> int:
    """The frozen base: this rank's part of the linears; scales, embeddings and head are whole."""
    weights, scales = _layer_bytes(settings, shape)
    tables = shape.vocabulary * shape.width * (1 if shape.tied else 2)
    norms = shape.width * (2 * shape.layers + 1)
    size = {"bf16": 2, "float32": 4}.get(settings.base_storage, element)
    return shape.layers * (-(-weights // shards) + scales) + size * (tables + norms)


def lora_parameters(settings: TrainSettings, shape: ModelShape) -> int:
    """Numbers of A and B in one layer."""
    return settings.lora_rank * sum(
        out + inside
        for name, (out, inside) in shape.linears.items()
        if name in settings.lora_targets
    )


def _optimizer_bytes(settings: TrainSettings, trained: int) -> int:
    """Both moments of AdamW; paged ones leave the GPU when it is short of memory: none."""
    if settings.optimizer == "adamw":
        return 8 * trained
    if settings.optimizer == "adamw_8bit":
        return 2 * trained + 8 * trained // _STATE_BLOCK
    return 0


def kept_per_token(settings: TrainSettings, shape: ModelShape, means: Means, *, gate: bool) -> int:
    """Bytes a token that a layer keeps for its backward pass, without checkpointing.

    Counted from what each operation saves: a norm its input (the stock one in float32), LoRA the
    input of A (PEFT with dropout: a mask of one byte and the dropped copy), attention its three
    inputs, its result and one float32 a head, the gate one tensor, the MLP both halves and their
    product.
    """
    e, d, inner = means.element, shape.width, shape.inner
    queries = shape.heads * shape.head_width
    joined = shape.linears["qkv_proj"][0]
    dropped = settings.lora_dropout > 0 and not means.fused
    norm = e * d if means.liger else 4 * d
    # not fused: turned queries and keys are copies, and the values keep the joined product
    heads = e * joined + (0 if means.fused else e * (queries + (joined - queries) // 2))
    # the stock MLP keeps silu's result as well
    mlp = e * 2 * inner + (0 if means.liger or means.fused else e * inner)
    inputs = {"qkv_proj": d, "o_proj": queries, "gate_up_proj": d, "down_proj": inner}
    lora = 0
    for name, size in inputs.items():
        if name not in settings.lora_targets:
            continue
        shared = name == "o_proj" and not dropped  # attention's result is there anyway
        lora += (1 + e) * size if dropped else (0 if shared else e * size)
        lora += e * settings.lora_rank
    rounded = sum(inputs.values()) if settings.stock_int8 else 0  # it keeps inputs as int8
    return (
        2 * norm + heads + e * queries + 4 * shape.heads + (e * d if gate else 0) + mlp + lora
    ) + rounded


def _dense_bytes(
    settings: TrainSettings, shape: ModelShape, means: Means, *, recomputed: bool
) -> int:
    """Dequantised weights: a layer's largest, or all where they stay for its backward pass."""
    if settings.base_storage not in ("int8", "nf4"):
        return 0
    sizes = [out * inside for out, inside in shape.linears.values()]
    return means.element * (sum(sizes) if means.fused and recomputed else max(sizes))


def _loss_bytes(shape: ModelShape, means: Means, tokens: int) -> int:
    """What head and loss hold at most.

    Stock: logits, and three float32 tensors of their size in the backward pass (the log-softmax and
    two gradients). Liger: two pieces of the logits and the gradient of the head's input.
    """
    if not means.liger:
        upcast = 12 if means.element == 2 else 8
        return tokens * shape.vocabulary * (means.element + upcast)
    pieces = max(1, -(-shape.vocabulary // shape.width))
    rows = min(tokens, 1 << (-(-tokens // pieces) - 1).bit_length())
    return 2 * means.element * rows * shape.vocabulary + 2 * means.element * tokens * shape.width


def estimate(shape: ModelShape, settings: TrainSettings, means: Means, load: Load) -> Estimate:
    """The peak of a step, by walking through its backward pass from the last layer to the first."""
    e, tokens = means.element, load.tokens
    gated = shape.gated_layers / shape.layers
    kept = [
        tokens * kept_per_token(settings, shape, means, gate=False)
        + round(tokens * e * shape.width * gated)
    ] * shape.layers
    lora = lora_parameters(settings, shape)
    trained = lora * shape.layers
    copies = e * lora if e == 2 and not means.fused else 0  # autocast keeps them with the layer
    start = e * tokens * shape.width
    held = [
        start if again else size + copies for again, size in zip(load.recomputed, kept, strict=True)
    ]
    working = e * tokens * (2 * shape.inner + 2 * shape.width)
    moments: list[tuple[int, str, dict[str, int]]] = [
        _moment("the loss", sum(held), _loss_bytes(shape, means, tokens), trained, load, 0)
    ]
    for layer in reversed(range(shape.layers)):
        recomputed = load.recomputed[layer]
        busy = working + _dense_bytes(settings, shape, means, recomputed=recomputed)
        busy += kept[layer] + copies if recomputed else 0
        done = lora * (shape.layers - 1 - layer)
        name = f"the backward pass of layer {layer}"
        moments.append(_moment(name, sum(held[: layer + 1]), busy, trained, load, done))
    _, at, moving = max(moments, key=lambda moment: moment[0])
    mask = (1 + e) * load.rows * load.length**2 if load.masked else 0
    rotations = 4 * shape.gated_layers * shape.width * _BLOCK
    fixed = {
        "base": _stored_bytes(settings, shape, e, load.shards),
        # a layer in use, the next one, and the buffer that it comes in
        "gathered": 3 * _layer_bytes(settings, shape)[0] if load.shards > 1 else 0,
        "adapter": 4 * trained + (e * trained if means.fused and e == 2 else 0),
        "optimizer": _optimizer_bytes(settings, trained),
        "rotations": 3 * rotations,
        "mask": mask,
        "buckets": 4 * trained if load.several else 0,
    }
    return Estimate({**fixed, **moving}, at)


def _moment(
    name: str, held: int, busy: int, trained: int, load: Load, done: int
) -> tuple[int, str, dict[str, int]]:
    gradients = 4 * (trained if load.accumulated else done)
    parts = {"gradients": gradients, "activations": held, "working": busy}
    return sum(parts.values()), name, parts
