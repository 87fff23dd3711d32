"""GGUF files from a folded checkpoint: planned, written tensor by tensor, read back, compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import replacing
from so8t_core.contract.settings.export import GgufType
from so8t_core.export.architecture import ARCHITECTURE, Phi3Shape, gguf_name
from so8t_core.export.gguf_check import GgufCheck, check_gguf, digest_of
from so8t_core.export.vocabulary import Vocabulary
from so8t_core.model.weights import ModelFolder

Float32 = npt.NDArray[np.float32]
Step = Callable[[int, int], None]
"""Called between tensors with how many are done, and of how many."""
Inspect = Callable[[Path], None]
"""Looks at a written file before it gets its name; raises to refuse it."""

_FILE_TYPES = {
    "F32": LlamaFileType.ALL_F32,
    "F16": LlamaFileType.MOSTLY_F16,
    "BF16": LlamaFileType.MOSTLY_BF16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q5_0": LlamaFileType.MOSTLY_Q5_0,
    "Q4_0": LlamaFileType.MOSTLY_Q4_0,
}
_HEAD_TYPES = {"Q5_0": GGMLQuantizationType.Q8_0, "Q4_0": GGMLQuantizationType.Q8_0}
"""Output weights of coarse files stay finer, as in llama.cpp: every answer goes through them."""


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

    @cached_property
    def extra_tensors(self) -> dict[str, Float32]:
        """Tensors that the checkpoint keeps in its config."""
        return self.shape.extra_tensors()

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer, by the model's and the generation's configuration."""
        from transformers import GenerationConfig

        files = {"generation_config.json", "config.json"}
        named = [
            GenerationConfig.from_pretrained(self.weights.path, config_file_name=file).eos_token_id
            for file in sorted(files)
            if (self.weights.path / file).is_file()
        ]
        found: set[int] = set()
        for ids in named:
            found |= {ids} if isinstance(ids, int) else set(ids or ())
        return frozenset(found)

    def plan(self, type_: GgufType) -> list[PlannedTensor]:
        """The tensors of a file of that type, in order."""
        shapes = {name: entry.shape for name, entry in sorted(self.weights.tensors.items())}
        return plan_tensors(shapes, self.extra_tensors, type_, tied=self.shape.tied_embeddings)

    def read(self, tensor: PlannedTensor) -> Float32:
        """The values of a planned tensor, in float32."""
        if tensor.source is None:
            return self.extra_tensors[tensor.name]
        values: Float32 = self.weights.read_tensor(tensor.source).float().numpy()
        return values


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
    inspect: Inspect | None = None,
) -> GgufFile:
    """Write one GGUF file durably, then read all of it back and compare it with the checkpoint.

    `provenance` becomes string metadata under `so8t.`. Norms and rope factors stay float32, as
    llama.cpp's own converter keeps them. The file appears under its name only after the check
    has passed, and `inspect` too; `ModelError` where it has not.
    """
    plan = source.plan(type_)
    with replacing(path) as partial:
        writer = GGUFWriter(partial, ARCHITECTURE)
        try:
            _add_metadata(writer, source, type_, name, provenance)
            digests = _write_tensors(writer, plan, source.read, step)
        finally:
            writer.close()
        check = check_gguf(partial, plan, source.read, step, digests=digests)
        if inspect is not None:
            inspect(partial)
    kept = tuple(
        t.name
        for t in plan
        if len(t.shape) > 1 and t.type is GGMLQuantizationType.F16 and type_ != "F16"
    )
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
    head = "token_embd.weight" if tied else "output.weight"
    for name, shape in shapes.items():
        if tied and name == "lm_head.weight":
            continue
        stored = gguf_name(name)
        wanted = GGMLQuantizationType[type_]
        if stored == head:
            wanted = _HEAD_TYPES.get(type_, wanted)
        plan.append(PlannedTensor(stored, name, shape, _type_of(shape, wanted)))
    if not any(tensor.name == "token_embd.weight" for tensor in plan):
        raise ModelError(
            "The folded checkpoint has no token embeddings.",
            where="model.embed_tokens.weight",
            hint="Run the export phase again.",
        )
    return plan


def _type_of(shape: tuple[int, ...], wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    if len(shape) == 1:
        return GGMLQuantizationType.F32
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
) -> dict[str, str]:
    """Write all tensors; returns the digest of each one's bytes."""
    for tensor in plan:
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.size_bytes, tensor.type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    digests = {}
    for number, tensor in enumerate(plan):
        if step is not None:
            step(number, 2 * len(plan))
        encoded = encode(read(tensor), tensor)
        digests[tensor.name] = digest_of(encoded)
        writer.write_tensor_data(encoded)
    return digests


def encode(values: Float32, tensor: PlannedTensor) -> npt.NDArray[np.generic]:
    """The tensor in the file's type.

    Raises `ModelError` for a weight that is no number, or that float16 cannot hold.
    """
    if not np.isfinite(values).all():
        raise ModelError(
            "A weight is infinite or not a number.",
            where=tensor.name,
            hint="The model is broken: look at the training's loss.",
        )
    with np.errstate(over="ignore"):
        encoded: npt.NDArray[np.generic] = gguf.quantize(values, tensor.type)
    if tensor.type is GGMLQuantizationType.F16 and not np.isfinite(encoded).all():
        raise ModelError(
            "A weight is too large for float16.",
            where=tensor.name,
            hint="Use BF16 or F32 in export.gguf_types.",
        )
    return encoded
