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
from so8t_core.contract.files import write_json
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.accounting import GATE_KEYS, GATED_TYPE, account, gated_config
from so8t_core.model.base import INTEGRATION_FILE, check_hashes, digest_of, digest_of_file
from so8t_core.model.loading import check_generation_config
from so8t_core.model.output_folder import check_space, check_target, new_folder
from so8t_core.model.provenance import Provenance
from so8t_core.model.weight_writer import write_index, write_shard
from so8t_core.model.weights import (
    CONFIG_FILE,
    DTYPE_CODES,
    ModelFolder,
    ShardReader,
    TensorEntry,
    all_finite,
    torch_dtype,
)

if TYPE_CHECKING:
    import torch

    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config
    from so8t_core.phases.base import Emitter, PauseGate

GATE_SHARD = "model-gates.safetensors"
_OUTPUT_KEYS = ("return_dict", "output_attentions", "output_hidden_states")
"""How a model hands over its results: its caller's affair. With bare tuples Phi-3 fails itself."""
MODELLING_FILES = ("modeling_phi3_so8t.py", "so8.py")


@dataclass(frozen=True)
class IntegrationReport:
    """What integration did; written beside the weights as integration.json.

    `shards`: SHA-256 of each weight file; `hashes_checked`: how many of the base's were on record.
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
    integrated_blocks_per_layer: int
    gate_parameters_per_layer: int
    gate_parameters: int
    transferred_tensors: int
    transferred_parameters: int
    initialised_tensors: int
    tied_tensors: tuple[str, ...]
    hashes_checked: int
    shards: dict[str, str]
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
    the verify phase, recorded beside the report, as the base's provenance is. Raises `InputMissing`
    where there is no model, `ModelError` where it is not a sound Phi-3 without gates,
    `ResourceError` where the disk is too small, `UsageError` where the output folder holds
    something else.
    """
    base = ModelFolder.read(model_path)
    check_target(output_path, (model_path,), INTEGRATION_FILE)
    config = gated_config(base, settings)
    tied = account(base, config)
    checked = check_hashes(base)
    check_generation_config(model_path)
    code = DTYPE_CODES.get(settings.dtype)
    gates = _gate_entries(config)
    check_space(
        output_path, sum(_recast(entry, code).size_bytes for entry in base.tensors.values())
    )
    with new_folder(output_path) as partial:
        entries = _write_base(base, partial, code, pause, emit)
        write_shard(partial / GATE_SHARD, gates, (_identity(config, gate) for gate in gates))
        write_index(partial, (*entries, *gates))
        write_json(partial / CONFIG_FILE, _config_json(base, config, settings))
        companions = base.copy_companions(partial)
        for name in MODELLING_FILES:
            shutil.copyfile(Path(__file__).with_name(name), partial / name)
        report = _report(base, config, tied, checked, partial, companions)
        write_json(
            partial / INTEGRATION_FILE,
            {
                **report.as_figures(),
                "provenance": asdict(Provenance.of(model_path)),
                "verification": dict(verification) if verification else None,
            },
        )
    if emit is not None and not report.has_tokenizer:
        emit.log("warning", "The base has no tokenizer; the gated checkpoint has none either.")
    return report


def _gate_entries(config: SO8TPhi3Config) -> tuple[TensorEntry, ...]:
    from so8t_core.model.so8 import BLOCK, parameter_shape

    blocks = config.hidden_size // BLOCK if config.gate_blocks is None else len(config.gate_blocks)
    shape = (blocks, *parameter_shape(config.gate_parametrisation))
    return tuple(
        TensorEntry(f"model.layers.{layer}.self_attn.rotation_gate.theta", shape, "F32", GATE_SHARD)
        for layer in config.gate_layers or ()
    )


def _identity(config: SO8TPhi3Config, entry: TensorEntry) -> torch.Tensor:
    from so8t_core.model.modeling_phi3_so8t import SO8TRotationGate

    gate = SO8TRotationGate(config.hidden_size, config.gate_parametrisation, config.gate_blocks)
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
    names = {code: name for name, code in DTYPE_CODES.items()}
    for source, entry in zip(stored, entries, strict=True):
        if pause is not None:
            pause.point()
        tensor = reader.read(source.name)
        cast = tensor.to(torch_dtype(names[entry.dtype]))
        if not all_finite(cast):
            finite = all_finite(tensor)
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
    """The base's own config.json, less `_OUTPUT_KEYS`, and what makes it a gated model."""
    module = MODELLING_FILES[0].removesuffix(".py")
    changed: dict[str, Any] = {
        "model_type": GATED_TYPE,
        "architectures": ["SO8TPhi3ForCausalLM"],
        "auto_map": {
            "AutoConfig": f"{module}.SO8TPhi3Config",
            "AutoModel": f"{module}.SO8TPhi3Model",
            "AutoModelForCausalLM": f"{module}.SO8TPhi3ForCausalLM",
        },
        **{key: getattr(config, key) for key in GATE_KEYS},
    }
    if settings.dtype != "auto":
        changed["dtype"] = settings.dtype
    kept = {
        key: value
        for key, value in base.config.items()
        if key not in _OUTPUT_KEYS and (settings.dtype == "auto" or key != "torch_dtype")
    }
    return {**kept, **changed}


def _report(
    base: ModelFolder,
    config: SO8TPhi3Config,
    tied: tuple[str, ...],
    checked: int,
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
        integrated_blocks_per_layer=gates[0].shape[0],
        gate_parameters_per_layer=gates[0].elements,
        gate_parameters=parameters,
        transferred_tensors=len(weights),
        transferred_parameters=sum(entry.elements for entry in weights),
        initialised_tensors=len(gates),
        tied_tensors=tied,
        hashes_checked=checked,
        shards={shard: digest_of_file(written / shard) for shard in result.shards},
        base_dtypes=tuple(sorted({entry.dtype for entry in base.tensors.values()})),
        weights_dtype="+".join(sorted({entry.dtype for entry in weights})),
        gates_dtype="F32",
        size_bytes=sum(path.stat().st_size for path in written.iterdir() if path.is_file()),
        has_tokenizer=base.has_tokenizer,
        companions=companions,
        digest=digest_of(written),
    )
