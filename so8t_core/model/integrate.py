"""Phase 4's work: a stock Phi-3 folder becomes a gated checkpoint, every tensor accounted for.

The base's weights are copied shard by shard (byte by byte where the dtype stays); the gates, at the
identity, are a shard of their own. So the new folder differs from the base in what it adds alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import replacing_folder, write_json
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.base import digest_of
from so8t_core.model.layers import select_layers
from so8t_core.model.weights import (
    CONFIG_FILE,
    DTYPE_CODES,
    ModelFolder,
    ShardReader,
    TensorEntry,
    check_space,
    check_target,
    torch_dtype,
    write_index,
    write_shard,
)
from so8t_core.phases.base import Emitter, PauseGate

if TYPE_CHECKING:
    import torch

    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config

REPORT_FILE = "integration.json"
GATE_SHARD = "model-gates.safetensors"
MODELLING_FILES = ("modeling_phi3_so8t.py", "so8.py")
GATED_TYPE = "phi3_so8t"

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


@dataclass(frozen=True)
class IntegrationReport:
    """What integration did; written beside the weights as integration.json.

    Every expected tensor is in exactly one of `transferred_tensors` (taken from the base),
    `initialised_tensors` (gates) and `tied_tensors` (shared with another, not stored).
    """

    base_digest: str
    base_architecture: str
    width: int
    layers: int
    integrated_layers: tuple[int, ...]
    parametrisation: str
    block_size: int
    blocks_per_layer: int
    gate_parameters_per_layer: int
    gate_parameters: int
    transferred_tensors: int
    transferred_parameters: int
    initialised_tensors: int
    tied_tensors: tuple[str, ...]
    base_dtypes: tuple[str, ...]
    weights_dtype: str
    gates_dtype: str
    size_bytes: int
    has_tokenizer: bool
    companions: tuple[str, ...]
    digest: str

    def as_figures(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
        }


def integrate(
    model_path: Path,
    output_path: Path,
    settings: ModelSettings,
    *,
    pause: PauseGate | None = None,
    emit: Emitter | None = None,
    verification: Mapping[str, Any] | None = None,
) -> IntegrationReport:
    """Write the gated checkpoint of the Phi-3 folder `model_path` as the folder `output_path`.

    Uses `settings.gate` and `settings.dtype`; memory: one tensor at a time. The folder appears
    whole or not at all; an older result at that place is replaced. `verification`: the figures of
    the verify phase, recorded beside the report. Raises `InputMissing` where there is no model,
    `ModelError` where it is not a sound Phi-3 without gates, `ResourceError` where the disk is too
    small, `UsageError` where the output folder holds something else.
    """
    base = ModelFolder.read(model_path)
    config = gated_config(base, settings)
    tied = account(base, config)
    code = DTYPE_CODES.get(settings.dtype)
    gates = _gate_entries(config)
    check_target(output_path, model_path, REPORT_FILE)
    check_space(
        output_path, sum(_recast(entry, code).size_bytes for entry in base.tensors.values())
    )
    with replacing_folder(output_path) as partial:
        entries = _write_base(base, partial, code, pause, emit)
        write_shard(partial / GATE_SHARD, gates, (_identity(config, gate) for gate in gates))
        write_index(partial, (*entries, *gates))
        write_json(partial / CONFIG_FILE, _config_json(base, config, settings))
        companions = base.copy_companions(partial)
        for name in MODELLING_FILES:
            shutil.copyfile(Path(__file__).with_name(name), partial / name)
        report = _report(base, config, tied, partial, companions)
        write_json(
            partial / REPORT_FILE,
            {**report.as_figures(), "verification": dict(verification) if verification else None},
        )
    if emit is not None and not report.has_tokenizer:
        emit.log("warning", "The base has no tokenizer; the gated checkpoint has none either.")
    return report


def gated_config(base: ModelFolder, settings: ModelSettings) -> SO8TPhi3Config:
    """The gated model's configuration. Raises `ModelError` where the base cannot be gated."""
    kind = base.config.get("model_type")
    if kind == GATED_TYPE:
        raise ModelError(
            "This model already has gates.",
            where=str(base.path),
            hint="Give its base model, or fold it first with `so8t export --fold-only`.",
        )
    if kind != "phi3":
        raise ModelError(
            f"This is no Phi-3 model: its model_type is {kind!r}.",
            where=str(base.path / CONFIG_FILE),
            hint="Give a model of the Phi-3 family (model_type phi3).",
        )
    if base.config.get("quantization_config"):
        raise ModelError(
            "The base is stored quantised.",
            where=str(base.path / CONFIG_FILE),
            hint="Give the unquantised model; training quantises it when it loads.",
        )
    width = base.config.get("hidden_size")
    if isinstance(width, int) and width % 8:
        raise ModelError(
            f"The model's width {width} is not divisible by 8.",
            where=f"{base.path / CONFIG_FILE}: hidden_size",
            hint="Rotations act on blocks of eight; choose another base.",
        )
    return _parse_config(base, settings)


def _parse_config(base: ModelFolder, settings: ModelSettings) -> SO8TPhi3Config:
    from huggingface_hub.errors import StrictDataclassError

    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config

    ours = ("model_type", "architectures", "auto_map")
    plain = {key: value for key, value in base.config.items() if key not in ours}
    try:
        config = SO8TPhi3Config(**plain, gate_parametrisation=settings.gate.parametrisation)
    except (ValueError, TypeError, KeyError, StrictDataclassError) as error:
        raise ModelError(
            f"The configuration is not one of a Phi-3 ({str(error).splitlines()[-1].strip()}).",
            where=str(base.path / CONFIG_FILE),
            hint="Fetch the model again, or mend the named field.",
        ) from error
    config.gate_layers = list(select_layers(settings.gate.layers, config.num_hidden_layers))
    return config


def account(base: ModelFolder, config: SO8TPhi3Config) -> tuple[str, ...]:
    """Compare the stored tensors with those that a Phi-3 of this configuration has.

    Returns the tied ones, which are not stored. Raises `ModelError` for a missing, an extra or a
    misshapen tensor, and for one that is not of a floating dtype.
    """
    expected = _expected_shapes(config)
    tied = (_HEAD,) if config.tie_word_embeddings and _HEAD not in base.tensors else ()
    missing = sorted(set(expected) - set(base.tensors) - set(tied))
    extra = sorted(set(base.tensors) - set(expected))
    for names, what in ((missing, "lacks"), (extra, "has what Phi-3 does not know:")):
        if names:
            raise ModelError(
                f"The base {what} {len(names)} tensor(s), the first {names[0]}.",
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


def _expected_shapes(config: SO8TPhi3Config) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    plain = config.to_dict()
    for key in ("model_type", "gate_layers", "gate_parametrisation"):
        plain.pop(key)
    with torch.device("meta"):
        model = Phi3ForCausalLM(Phi3Config(**plain))
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _gate_entries(config: SO8TPhi3Config) -> tuple[TensorEntry, ...]:
    from so8t_core.model.so8 import BLOCK, parameter_shape

    shape = (config.hidden_size // BLOCK, *parameter_shape(config.gate_parametrisation))
    return tuple(
        TensorEntry(f"model.layers.{layer}.self_attn.rotation_gate.theta", shape, "F32", GATE_SHARD)
        for layer in config.gate_layers or ()
    )


def _identity(config: SO8TPhi3Config, entry: TensorEntry) -> torch.Tensor:
    from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate

    gate = SO8TRotationGate(config.hidden_size, config.gate_parametrisation)
    assert tuple(gate.theta.shape) == entry.shape
    return gate.theta.detach()


def _recast(entry: TensorEntry, code: str | None) -> TensorEntry:
    return entry if code is None else replace(entry, dtype=code)


def _write_base(
    base: ModelFolder,
    target: Path,
    code: str | None,
    pause: PauseGate | None,
    emit: Emitter | None,
) -> list[TensorEntry]:
    """Check and copy the base's shards; returns the entries as written."""
    written: list[TensorEntry] = []
    done, total = 0, len(base.tensors)
    for number, shard in enumerate(base.shards, start=1):
        name = f"model-{number:05d}-of-{len(base.shards):05d}.safetensors"
        stored = [entry for entry in base.tensors.values() if entry.file == shard]
        entries = [replace(_recast(entry, code), file=name) for entry in stored]
        with base.opened(shard) as reader:
            tensors = _checked(base, reader, stored, entries, pause)
            write_shard(target / name, entries, tensors)
        written += entries
        done += len(entries)
        if emit is not None:
            emit.progress(done, total, "tensors", shard)
    return written


def _checked(
    base: ModelFolder,
    reader: ShardReader,
    stored: list[TensorEntry],
    entries: list[TensorEntry],
    pause: PauseGate | None,
) -> Iterator[torch.Tensor]:
    """The tensors of one shard in the asked dtype, each found to be finite before and after."""
    import torch

    names = {code: name for name, code in DTYPE_CODES.items()}
    for source, entry in zip(stored, entries, strict=True):
        if pause is not None:
            pause.point()
        tensor = reader.read(source.name)
        cast = tensor.to(torch_dtype(names[entry.dtype]))
        if not bool(torch.isfinite(cast).all()):
            finite = bool(torch.isfinite(tensor).all())
            raise ModelError(
                f"The tensor {source.name} "
                + (f"overflows in {names[entry.dtype]}." if finite else "holds NaN or infinity."),
                where=str(base.path / source.file),
                hint="Set model.dtype to auto or bfloat16."
                if finite
                else "Fetch the model again; these weights are damaged.",
            )
        yield cast


def _config_json(
    base: ModelFolder, config: SO8TPhi3Config, settings: ModelSettings
) -> dict[str, Any]:
    """The base's own config.json and what makes it a gated model."""
    module = MODELLING_FILES[0].removesuffix(".py")
    changed: dict[str, Any] = {
        "model_type": GATED_TYPE,
        "architectures": ["SO8TPhi3ForCausalLM"],
        "auto_map": {
            "AutoConfig": f"{module}.SO8TPhi3Config",
            "AutoModel": f"{module}.SO8TPhi3Model",
            "AutoModelForCausalLM": f"{module}.SO8TPhi3ForCausalLM",
        },
        "gate_layers": config.gate_layers,
        "gate_parametrisation": config.gate_parametrisation,
    }
    if settings.dtype != "auto":
        changed["dtype"] = settings.dtype
    kept = {
        key: value
        for key, value in base.config.items()
        if settings.dtype == "auto" or key != "torch_dtype"
    }
    return {**kept, **changed}


def _report(
    base: ModelFolder,
    config: SO8TPhi3Config,
    tied: tuple[str, ...],
    written: Path,
    companions: tuple[str, ...],
) -> IntegrationReport:
    from so8t_core.model.so8 import BLOCK

    result = ModelFolder.read(written)
    gates = [entry for entry in result.tensors.values() if entry.file == GATE_SHARD]
    weights = [entry for entry in result.tensors.values() if entry.file != GATE_SHARD]
    parameters = sum(entry.elements for entry in gates)
    return IntegrationReport(
        base_digest=digest_of(base.path),
        base_architecture=(base.config.get("architectures") or ["Phi3ForCausalLM"])[0],
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        integrated_layers=tuple(config.gate_layers or ()),
        parametrisation=config.gate_parametrisation,
        block_size=BLOCK,
        blocks_per_layer=config.hidden_size // BLOCK,
        gate_parameters_per_layer=gates[0].elements,
        gate_parameters=parameters,
        transferred_tensors=len(weights),
        transferred_parameters=sum(entry.elements for entry in weights),
        initialised_tensors=len(gates),
        tied_tensors=tied,
        base_dtypes=tuple(sorted({entry.dtype for entry in base.tensors.values()})),
        weights_dtype="+".join(sorted({entry.dtype for entry in weights})),
        gates_dtype="F32",
        size_bytes=sum(path.stat().st_size for path in written.iterdir() if path.is_file()),
        has_tokenizer=base.has_tokenizer,
        companions=companions,
        digest=digest_of(written),
    )
