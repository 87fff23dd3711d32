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
from transformers import DynamicCache

from so8t_core.contract.errors import ModelError
from so8t_core.model.llama_cpp_package import load


class Reader(Protocol):
    """A model that has read some tokens."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end an answer, as the model itself names them."""

    def read(self, ids: Sequence[int], *, last_only: bool = False) -> Tensor:
        """Read on; logits after each of `ids`, (len(ids) or 1, vocabulary), float32."""

    def branch(self, context: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Tensor]:
        """Read `context` and then each branch as if it alone followed; forget all of them.

        For each branch the logits after the context and after each of its tokens,
        (1 + len(branch), vocabulary), float32.
        """

    def cut(self, length: int) -> None:
        """Forget all but the first `length` tokens."""

    def memory_bytes(self) -> int:
        """Memory in use: of the GPU where the model lies there, else of this process."""


class TorchReader:
    """A causal language model of transformers.

    Its cache keeps all that was read, also beyond a sliding window, or nothing could be cut off;
    the window is in the masks.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model: Any = model
        self._device = next(model.parameters()).device
        self._cache = DynamicCache()

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
        logits: Tensor = output.logits[0].float()
        return logits

    def branch(self, context: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Tensor]:
        """All in one forward pass: a small one takes as long as reading the weights from memory.

        Branches stand one behind another; a mask hides each from the others, and each counts its
        positions on from the context's end.
        """
        before = int(self._cache.get_seq_length())
        owners, positions, kept = _layout(len(context), [len(branch) for branch in branches])
        given = [*context, *(token for branch in branches for token in branch)]
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([given], device=self._device),
                attention_mask=self._tree_mask(owners, positions, before),
                position_ids=torch.tensor([positions], device=self._device) + before,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=torch.tensor(kept, device=self._device),
            )
        self.cut(before)
        after, *rest = output.logits[0].float().split([1, *map(len, branches)])
        return [torch.cat([after, own]) for own in rest]

    def _tree_mask(self, owners: Sequence[int], positions: Sequence[int], before: int) -> Tensor:
        """What is added to attention's scores, (1, 1, tokens, before + tokens): 0, or very little.

        A token sees what was read before, and earlier tokens of the context (owner 0) and its own,
        as far as the model's window reaches.
        """
        owner = torch.tensor(owners, device=self._device)
        seen = ((owner == owner[:, None]) | (owner == 0)).tril()
        seen = torch.cat([seen.new_ones(len(owners), before), seen], dim=1)
        if self._model.config.sliding_window is not None:
            place = torch.tensor([*range(-before, 0), *positions], device=self._device)
            seen &= place > place[before:, None] - self._model.config.sliding_window
        dtype = self._model.dtype
        mask = torch.full(seen.shape, torch.finfo(dtype).min, dtype=dtype, device=self._device)
        return mask.masked_fill(seen, 0)[None, None]

    def cut(self, length: int) -> None:
        if length == 0:
            self._cache = DynamicCache()
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

    def branch(self, context: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Tensor]:
        before = self._llama.n_tokens
        after = self.read(context, last_only=True)
        found = []
        for branch in branches:
            self.cut(before + len(context))
            found.append(torch.cat([after, self.read(branch)]) if branch else after)
        self.cut(before)
        return found

    def cut(self, length: int) -> None:
        self._llama.n_tokens = min(length, self._llama.n_tokens)

    def memory_bytes(self) -> int:
        return int(psutil.Process().memory_info().rss)


def _layout(context: int, branches: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """How a context and branches of these lengths stand in a row.

    Each token's owner (0 for the context, then 1, 2, ...), its position after what was read before,
    and the places whose logits are wanted: the context's last one, and all of the branches.
    """
    owners, positions = [0] * context, list(range(context))
    for number, length in enumerate(branches, start=1):
        owners += [number] * length
        positions += range(context, context + length)
    return owners, positions, list(range(context - 1, len(owners)))


@contextmanager
def llama_reader(
    path: Path, *, context_tokens: int, end_ids: frozenset[int]
) -> Iterator[LlamaReader]:
    """A GGUF file, to read up to `context_tokens` tokens; `ModelError` where it can't be loaded.

    The package llama-cpp-python must be installed. `end_ids`: those of the model that it was made
    from.
    """
    llama_cpp = load()
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
