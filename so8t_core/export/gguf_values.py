"""A GGUF file's weights, exactly as stored, in a torch model: measurable without llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import torch
from gguf import GGUFReader

from so8t_core.export.gguf import GgufSource
from so8t_core.model.loading import load_base

if TYPE_CHECKING:
    from transformers import Phi3ForCausalLM


def load_gguf_values(
    source: GgufSource, path: Path, *, dtype: torch.dtype, device: str
) -> Phi3ForCausalLM:
    """The stock Phi-3 of `source` with the file's dequantised weights in place of its own.

    Weights are what llama.cpp would use; activations are not quantised, as its kernels do.
    """
    model = load_base(source.weights.path, dtype=dtype, device=device)
    stored = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    with torch.no_grad():
        for planned in source.plan("F32"):
            if planned.source is None:
                continue
            found = stored[planned.name]
            values = gguf.dequantize(found.data, found.tensor_type).reshape(planned.shape)
            model.get_parameter(planned.source).copy_(torch.from_numpy(values.copy()))
    return model
