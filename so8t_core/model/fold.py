"""The fold: a gated checkpoint, with or without an adapter, becomes a stock Phi-3.

With row vectors the layer computes y = x Wᵀ and then h = y Rᵀ block by block, so the stock weight
is W' = blockdiag(R) W, and b' = blockdiag(R) b where there is a bias. A low-rank update merges
before: W' = blockdiag(R) (W + scale · B A). All in float32; cast once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import write_json
from so8t_core.model.accounting import GATE_KEYS, parse_config
from so8t_core.model.adapter import Adapter
from so8t_core.model.base import digest_of
from so8t_core.model.compare import LogitComparison, compare_logits
from so8t_core.model.gated_folder import GATE_SUFFIX, check_gated, rotations_of
from so8t_core.model.output_folder import check_space, check_target, new_folder
from so8t_core.model.projection import make_nearest
from so8t_core.model.weight_writer import write_index, write_shard
from so8t_core.model.weights import (
    CONFIG_FILE,
    DTYPE_CODES,
    SINGLE_FILE,
    ModelFolder,
    TensorEntry,
    all_finite,
    torch_dtype,
)

if TYPE_CHECKING:
    import torch

    from so8t_core.phases.base import PauseGate

__all__ = ["FoldReport", "LogitComparison", "compare_logits", "fold_checkpoint"]

FoldBase = Literal["original", "int8"]

REPORT_FILE = "fold.json"

_OUTPUT_PROJECTION = ".o_proj."
_OURS = ("auto_map", *GATE_KEYS)


@dataclass(frozen=True)
class FoldReport:
    """What was folded; written beside the weights as fold.json.

    `onto`: the base's weights as they are, or as an int8 base stores them.
    `mean_distance_rad` and `max_angle_rad` describe the rotations that were folded in,
    `max_orthogonality_error` how far the worst of them is from a rotation (‖RᵀR - I‖_F);
    `projection_distance_max`: how far (‖M - R‖_F) a `free` matrix lay from the rotation that was
    folded in its place, 0 where they were folded as they are.
    """

    onto: FoldBase
    folded_layers: int
    merged_weights: int
    gates_from: Literal["checkpoint", "adapter", "both"]
    parametrisation: str
    mean_distance_rad: float
    max_angle_rad: float
    projection_distance_max: float
    max_orthogonality_error: float
    tensors: int
    parameters: int
    weights_dtype: str
    size_bytes: int
    has_tokenizer: bool
    digest: str

    def as_figures(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def fold_checkpoint(
    gated: Path,
    output: Path,
    *,
    adapter: Path | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] | None = None,
    onto: FoldBase = "original",
    project: bool = False,
    pause: PauseGate | None = None,
) -> FoldReport:
    """Write the gated checkpoint, with the adapter merged, as the stock Phi-3 folder `output`.

    `adapter`: a PEFT folder trained on `gated`; its gates take the place of the checkpoint's.
    `dtype`: of the written weights; None keeps the stored one. `onto`: which base the update is
    added to: the weights as stored, or `int8`, as a training on an int8 base saw them. `project`:
    fold the rotations nearest to `free` matrices, not these; the others are rotations already.
    Memory: one tensor and its float32 copy. The folder appears whole or not at all; an older result
    at that place is replaced. Raises `InputMissing`, `ModelError`, `ResourceError` or `UsageError`,
    saying what is wrong.
    """
    model = ModelFolder.read(gated)
    check_target(output, (gated,) if adapter is None else (gated, adapter), REPORT_FILE)
    check_gated(model)
    trained = Adapter.read(adapter, model) if adapter is not None else Adapter({}, {})
    rotations = rotations_of(model, trained.gates)
    free = model.config["gate_parametrisation"] == "free"
    moved = make_nearest(rotations) if project and free else 0.0
    plan = _plan(model, dtype)
    check_space(output, sum(entry.size_bytes for _, entry in plan))
    with new_folder(output) as partial:
        for shard in sorted({entry.file for _, entry in plan}):
            part = [(source, entry) for source, entry in plan if entry.file == shard]
            folded = _folded(model, part, trained, rotations, onto, pause)
            write_shard(partial / shard, [entry for _, entry in part], folded)
        if plan[0][1].file != SINGLE_FILE:
            write_index(partial, [entry for _, entry in plan])
        write_json(partial / CONFIG_FILE, _stock_config(model, dtype))
        model.copy_companions(partial)
        report = _report(model, trained, rotations, moved, onto, plan, partial)
        write_json(partial / REPORT_FILE, report.as_figures())
    return report


def _plan(model: ModelFolder, dtype: str | None) -> list[tuple[str, TensorEntry]]:
    """(stored name, entry to write) of all that stays, shard by shard, gates left out."""
    kept = [entry for entry in model.tensors.values() if not entry.name.endswith(GATE_SUFFIX)]
    shards = sorted({entry.file for entry in kept})
    names = {
        shard: SINGLE_FILE
        if len(shards) == 1
        else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        for number, shard in enumerate(shards, start=1)
    }
    code = DTYPE_CODES[dtype] if dtype else None
    return [
        (entry.name, replace(entry, file=names[entry.file], dtype=code or entry.dtype))
        for entry in kept
    ]


def _folded(
    model: ModelFolder,
    part: list[tuple[str, TensorEntry]],
    trained: Adapter,
    rotations: dict[str, torch.Tensor],
    onto: FoldBase,
    pause: PauseGate | None,
) -> Iterator[torch.Tensor]:
    """The tensors of one shard to write, in order."""
    names = {code: name for name, code in DTYPE_CODES.items()}
    with model.opened(model.tensors[part[0][0]].file) as reader:
        for name, entry in part:
            if pause is not None:
                pause.point()
            folded = _fold_one(name, reader.read(name), trained, rotations, onto)
            cast = folded.to(torch_dtype(names[entry.dtype]))
            if not all_finite(cast):
                raise ModelError(
                    f"The folded {name} is not finite in {names[entry.dtype]}.",
                    where=str(model.path),
                    hint="Fold into bfloat16 or float32; if that fails too, the weights are "
                    "damaged.",
                )
            yield cast


def _fold_one(
    name: str,
    weight: torch.Tensor,
    trained: Adapter,
    rotations: dict[str, torch.Tensor],
    onto: FoldBase,
) -> torch.Tensor:
    from so8t_core.model.so8 import rotate_rows

    if onto == "int8":
        from so8t_core.model.int8 import as_stored, quantised

        if quantised(name):
            weight = as_stored(weight)
    if name in trained.pairs:
        weight = weight.float() + trained.pairs[name].delta()
    attention, projection, _ = name.partition(_OUTPUT_PROJECTION)
    if projection and attention in rotations:
        weight = rotate_rows(weight, rotations[attention])
    return weight


def _stock_config(model: ModelFolder, dtype: str | None) -> dict[str, Any]:
    """config.json of a Phi-3 that has never heard of gates."""
    dropped = (*_OURS, "torch_dtype", "dtype") if dtype else _OURS
    kept = {key: value for key, value in model.config.items() if key not in dropped}
    changed = {"model_type": "phi3", "architectures": ["Phi3ForCausalLM"]}
    return {**kept, **changed, **({"dtype": dtype} if dtype else {})}


def _report(
    model: ModelFolder,
    trained: Adapter,
    rotations: dict[str, torch.Tensor],
    moved: float,
    onto: FoldBase,
    plan: list[tuple[str, TensorEntry]],
    written: Path,
) -> FoldReport:
    import torch

    from so8t_core.model.so8 import angles, distance, orthogonality_error

    blocks = parse_config(model).gate_blocks
    layers = torch.stack(list(rotations.values()))  # (layers, n, 8, 8)
    every = (layers if blocks is None else layers[:, blocks]).flatten(0, 1)
    from_adapter = len(trained.gates)
    return FoldReport(
        onto=onto,
        folded_layers=len(rotations),
        merged_weights=len(trained.pairs),
        gates_from="checkpoint"
        if not from_adapter
        else ("adapter" if from_adapter == len(rotations) else "both"),
        parametrisation=str(model.config["gate_parametrisation"]),
        mean_distance_rad=float(distance(every).mean()),
        max_angle_rad=float(angles(every).max()),
        projection_distance_max=moved,
        max_orthogonality_error=float(orthogonality_error(every.double()).max()),
        tensors=len(plan),
        parameters=sum(entry.elements for _, entry in plan),
        weights_dtype="+".join(sorted({entry.dtype for _, entry in plan})),
        size_bytes=sum(path.stat().st_size for path in written.iterdir() if path.is_file()),
        has_tokenizer=model.has_tokenizer,
        digest=digest_of(written),
    )
