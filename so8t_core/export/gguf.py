"""GGUF files from a folded checkpoint: planned, written tensor by tensor, read back, compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import replacing
from so8t_core.contract.settings.export import GgufType
from so8t_core.export.architecture import ARCHITECTURE, Phi3Shape, gguf_name
from so8t_core.export.gguf_check import GgufCheck, check_gguf
from so8t_core.export.vocabulary import Vocabulary
from so8t_core.model.weights import ModelFolder

Float32 = npt.NDArray[np.float32]
Step = Callable[[int, int], None]
"""Called between tensors with how many are done, and of how many."""

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
}


@dataclass(frozen=True)
class GgufSource:
    """Everything of a folded checkpoint that a GGUF file needs, its tokenizer read once."""

    weights: ModelFolder
    shape: Phi3Shape
    vocabulary: Vocabulary

    @classmethod
    def of(cls, folder: Path) -> GgufSource:
        """Read config and tokenizer; `ModelError` where GGUF cannot express them."""
        shape = Phi3Shape.of(folder)
        return cls(ModelFolder.read(folder), shape, Vocabulary.of(folder, shape.vocab_size))


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor of the file. `source` is its name in the checkpoint, None for a rope factor."""

    name: str
    source: str | None
    shape: tuple[int, ...]
    type: GGMLQuantizationType

    @property
    def size_bytes(self) -> int:
        """Size of the encoded tensor."""
        block, block_bytes = gguf.GGML_QUANT_SIZES[self.type]
        return int(np.prod(self.shape)) // int(block) * int(block_bytes)


@dataclass(frozen=True)
class GgufFile:
    """A written and checked file. `kept_f16`: tensors whose rows do not fit the type's blocks."""

    path: Path
    size_bytes: int
    kept_f16: tuple[str, ...]
    check: GgufCheck


def write_gguf(
    source: GgufSource,
    path: Path,
    *,
    type_: GgufType,
    name: str,
    provenance: Mapping[str, str],
    step: Step | None = None,
) -> GgufFile:
    """Write one GGUF file durably, then read all of it back and compare it with the checkpoint.

    `provenance` becomes string metadata under `so8t.`. Norms and rope factors stay float32, as
    llama.cpp's own converter keeps them. The file appears under its name only after the check
    has passed; `ModelError` where it has not.
    """
    extra = source.shape.extra_tensors()
    shapes = {name: entry.shape for name, entry in sorted(source.weights.tensors.items())}
    plan = plan_tensors(shapes, extra, type_, tied=source.shape.tied_embeddings)

    def read(tensor: PlannedTensor) -> Float32:
        if tensor.source is None:
            return extra[tensor.name]
        values: Float32 = source.weights.read_tensor(tensor.source).float().numpy()
        return values

    with replacing(path) as partial:
        writer = GGUFWriter(partial, ARCHITECTURE)
        try:
            _add_metadata(writer, source, type_, name, provenance)
            _write_tensors(writer, plan, read, step)
        finally:
            writer.close()
        check = check_gguf(partial, plan, read, step)
    kept = tuple(t.name for t in plan if len(t.shape) > 1 and t.type.name != type_)
    return GgufFile(path, path.stat().st_size, kept, check)


def plan_tensors(
    shapes: Mapping[str, tuple[int, ...]],
    extra: Mapping[str, Float32],
    type_: GgufType,
    *,
    tied: bool,
) -> list[PlannedTensor]:
    """What goes into the file, in order; tied output weights are left out, as GGUF wants it."""
    plan = [
        PlannedTensor(name, None, values.shape, GGMLQuantizationType.F32)
        for name, values in extra.items()
    ]
    for name, shape in shapes.items():
        if tied and name == "lm_head.weight":
            continue
        plan.append(PlannedTensor(gguf_name(name), name, shape, _type_of(shape, type_)))
    if not any(tensor.name == "token_embd.weight" for tensor in plan):
        raise ModelError(
            "The folded checkpoint has no token embeddings.",
            where="model.embed_tokens.weight",
            hint="Run the export phase again.",
        )
    return plan


def _type_of(shape: tuple[int, ...], type_: GgufType) -> GGMLQuantizationType:
    if len(shape) == 1:
        return GGMLQuantizationType.F32
    wanted = GGMLQuantizationType[type_]
    block = gguf.GGML_QUANT_SIZES[wanted][0]
    return wanted if shape[-1] % block == 0 else GGMLQuantizationType.F16


def _add_metadata(
    writer: GGUFWriter,
    source: GgufSource,
    type_: GgufType,
    name: str,
    provenance: Mapping[str, str],
) -> None:
    writer.add_type("model")
    writer.add_name(source.vocabulary.display_name(name))
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(_FILE_TYPES[type_])
    for key, value in sorted(provenance.items()):
        writer.add_string(f"so8t.{key}", value)
    source.shape.add_to(writer)
    source.vocabulary.add_to(writer)


def _write_tensors(
    writer: GGUFWriter,
    plan: list[PlannedTensor],
    read: Callable[[PlannedTensor], Float32],
    step: Step | None,
) -> None:
    for tensor in plan:
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.size_bytes, tensor.type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for number, tensor in enumerate(plan):
        if step is not None:
            step(number, 2 * len(plan))
        writer.write_tensor_data(encode(read(tensor), tensor))


def encode(values: Float32, tensor: PlannedTensor) -> npt.NDArray[np.generic]:
    """The tensor in the file's type; `ModelError` where float16 cannot hold a weight."""
    with np.errstate(over="ignore"):
        encoded: npt.NDArray[np.generic] = gguf.quantize(values, tensor.type)
    if tensor.type is GGMLQuantizationType.F16 and not np.isfinite(encoded).all():
        raise ModelError(
            "A weight is too large for float16, or is not a number.",
            where=tensor.name,
            hint="Use BF16 or F32 in export.gguf_types, or look at the training's loss.",
        )
    return encoded
