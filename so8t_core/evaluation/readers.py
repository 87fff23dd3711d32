"""What reads tokens and gives logits: a torch model, or a GGUF file in llama.cpp.

A reader keeps what it has read. Everything that is measured goes through one, so that every side
of a comparison gets the same tokens in the same portions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
from torch import Tensor, nn

from so8t_core.contract.errors import ModelError


class Reader(Protocol):
    """A model that has read some tokens."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer, as the model itself names them."""

    def read(self, ids: Sequence[int], *, last_only: bool = False) -> Tensor:
        """Read on; logits after each of `ids`, (len(ids) or 1, vocabulary), float32."""

    def cut(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def memory_bytes(self) -> int:
        """Memory in use: of the GPU where the model lies there, else of this process."""


class TorchReader:
    """A causal language model of transformers."""

    def __init__(self, model: nn.Module) -> None:
        self._model: Any = model
        self._device = next(model.parameters()).device
        self._cache: Any = None

    @property
    def end_ids(self) -> frozenset[int]:
        found: set[int] = set()
        for config in (self._model.config, self._model.generation_config):
            if isinstance(config.eos_token_id, int):
                found.add(config.eos_token_id)
            elif config.eos_token_id is not None:
                found.update(config.eos_token_id)
        return frozenset(found)

    def read(self, ids: Sequence[int], *, last_only: bool = False) -> Tensor:
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([list(ids)], device=self._device),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1 if last_only else 0,
            )
        self._cache = output.past_key_values
        logits: Tensor = output.logits[0].float()
        return logits

    def cut(self, length: int) -> None:
        if length == 0:
            self._cache = None
        elif (surplus := self._cache.get_seq_length() - length) > 0:
            self._cache.crop(-surplus)

    def memory_bytes(self) -> int:
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        return int(psutil.Process().memory_info().rss)


class LlamaReader:
    """A GGUF file in llama.cpp, through llama-cpp-python."""

    def __init__(self, llama: Any, end_ids: frozenset[int]) -> None:
        self._llama = llama
        self._end_ids = end_ids

    @property
    def end_ids(self) -> frozenset[int]:
        return self._end_ids

    def read(self, ids: Sequence[int], *, last_only: bool = False) -> Tensor:
        before = self._llama.n_tokens
        self._llama.eval(list(ids))
        first = self._llama.n_tokens - 1 if last_only else before
        return torch.from_numpy(self._llama.scores[first : self._llama.n_tokens].copy())

    def cut(self, length: int) -> None:
        self._llama.n_tokens = min(length, self._llama.n_tokens)

    def memory_bytes(self) -> int:
        return int(psutil.Process().memory_info().rss)


@contextmanager
def llama_reader(
    path: Path, *, context_tokens: int, end_ids: frozenset[int]
) -> Iterator[LlamaReader]:
    """A GGUF file, to read up to `context_tokens` tokens; `ModelError` where it can't be loaded.

    The package llama-cpp-python must be installed. `end_ids`: those of the model that it was made
    from.
    """
    import llama_cpp

    try:
        llama = llama_cpp.Llama(
            str(path), n_ctx=context_tokens, n_gpu_layers=0, logits_all=True, verbose=False
        )
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"llama.cpp does not load the GGUF file ({error}).",
            where=str(path),
            hint="Run the export phase again.",
        ) from error
    try:
        yield LlamaReader(llama, end_ids)
    finally:
        llama.close()
