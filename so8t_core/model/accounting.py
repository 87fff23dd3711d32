"""Can this base be gated? Its configuration, and every stored tensor against those of a Phi-3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import ModelError
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.layers import select
from so8t_core.model.numbers import check_numbers
from so8t_core.model.weights import CONFIG_FILE, DTYPE_CODES, ModelFolder, all_finite

if TYPE_CHECKING:
    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config

GATED_TYPE, STOCK_TYPE = "phi3_so8t", "phi3"
GATE_KEYS = ("gate_layers", "gate_blocks", "gate_parametrisation")
"""What a gated model's configuration has beyond Phi-3's."""

_HEAD = "lm_head.weight"
_REFUSALS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What transformers and torch are seen to raise for configurations that are none."""


def gated_config(base: ModelFolder, settings: ModelSettings) -> SO8TPhi3Config:
    """The gated model's configuration. Raises `ModelError` where the base cannot be gated."""
    from so8t_core.model.so8 import BLOCK

    kind = base.config.get("model_type")
    if kind == GATED_TYPE:
        raise ModelError(
            "This model already has gates.",
            where=str(base.path),
            hint="Give its base model, or fold it first with `so8t export --fold-only`.",
        )
    if kind != STOCK_TYPE:
        raise ModelError(
            f"This is no Phi-3 model: its model_type is {kind!r}.",
            where=str(base.path / CONFIG_FILE),
            hint="Give a model of the Phi-3 family (model_type phi3).",
        )
    if base.config.get("quantization_config") is not None:
        raise ModelError(
            "The base is stored quantised, or its quantization_config says so.",
            where=str(base.path / CONFIG_FILE),
            hint="Give the unquantised model; training quantises it when it loads.",
        )
    check_numbers(base)
    # a base may hold what an older integration left; where its gates are is for the settings to say
    without = dict.fromkeys(GATE_KEYS)
    parametrisation = settings.gate.parametrisation
    config = parse_config(base, **{**without, "gate_parametrisation": parametrisation})
    config.gate_layers = list(select(settings.gate.layers, config.num_hidden_layers, "layers"))
    if settings.gate.blocks != "all":
        blocks = config.hidden_size // BLOCK
        config.gate_blocks = list(select(settings.gate.blocks, blocks, "blocks"))
    return config


def parse_config(model: ModelFolder, **changes: Any) -> SO8TPhi3Config:
    """The folder's config.json as one of a gated model, with `changes`; numbers are checked before.

    Raises `ModelError` where transformers refuses it.
    """
    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config

    ours = ("model_type", "architectures", "auto_map")
    plain = {key: value for key, value in model.config.items() if key not in ours}
    with _refusals(model):
        return SO8TPhi3Config(**{**plain, **changes})


@contextmanager
def _refusals(model: ModelFolder) -> Iterator[None]:
    """What transformers raises for a configuration from outside, as a `ModelError`."""
    from huggingface_hub.errors import StrictDataclassError

    try:
        yield
    except (*_REFUSALS, StrictDataclassError) as error:
        said = (str(error).splitlines() or [""])[-1].strip() or type(error).__name__
        raise ModelError(
            f"The configuration is not one of a Phi-3 ({said}).",
            where=str(model.path / CONFIG_FILE),
            hint="Fetch the model again, or mend the named field.",
        ) from error


def check_finite(model: ModelFolder, point: Callable[[], None]) -> None:
    """Raise `ModelError` for a stored tensor with NaN or infinity; `point` after each tensor."""
    for shard in model.shards:
        with model.opened(shard) as reader:
            for entry in model.tensors.values():
                if entry.file == shard and not all_finite(reader.read(entry.name)):
                    raise ModelError(
                        f"The tensor {entry.name} holds NaN or infinity.",
                        where=str(model.path / shard),
                        hint="Fetch the model again; these weights are damaged.",
                    )
                point()


def account(base: ModelFolder, config: SO8TPhi3Config) -> tuple[str, ...]:
    """Compare the stored tensors with those that a Phi-3 of this configuration has.

    Returns the tied ones, which are not stored. Raises `ModelError` for a missing, an extra or a
    misshapen tensor, and for one that is not of a floating dtype.
    """
    expected = _expected_shapes(base, config)
    tied = (_HEAD,) if config.tie_word_embeddings and _HEAD not in base.tensors else ()
    missing = sorted(set(expected) - set(base.tensors) - set(tied))
    extra = sorted(set(base.tensors) - set(expected))
    for names, what in ((missing, "lacks"), (extra, "has what Phi-3 does not know:")):
        if names:
            raise ModelError(
                f"The model {what} {len(names)} tensor(s), the first {names[0]}.",
                where=str(base.path),
                hint="Fetch the model again; if its config.json is of another model, mend that.",
            )
    for name, entry in sorted(base.tensors.items()):
        if entry.shape != expected[name]:
            raise ModelError(
                f"The tensor {name} has the shape {entry.shape} in place of {expected[name]}.",
                where=str(base.path / entry.file),
                hint="config.json and weights belong to different models; fetch both again.",
            )
        if entry.dtype not in DTYPE_CODES.values():
            raise ModelError(
                f"The tensor {name} has the dtype {entry.dtype}.",
                where=str(base.path / entry.file),
                hint="Give the unquantised model (float32, bfloat16 or float16).",
            )
    return tied


def _expected_shapes(model: ModelFolder, config: SO8TPhi3Config) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    plain = config.to_dict()
    for key in ("model_type", *GATE_KEYS):
        plain.pop(key)
    with _refusals(model), torch.device("meta"):
        built = Phi3ForCausalLM(Phi3Config(**plain))
    return {name: tuple(value.shape) for name, value in built.state_dict().items()}
