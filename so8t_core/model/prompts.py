"""Token ids on which models are compared: texts, or random ids where there is no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from so8t_core.model.loading import load_tokenizer
from so8t_core.model.weights import ModelFolder

_RANDOM_TOKENS = 24


def prompt_ids(
    folder: Path,
    texts: Sequence[str],
    *,
    max_tokens: int,
    seed: int,
    trust_remote_code: bool = False,
) -> tuple[list[list[int]], bool]:
    """Ids of each text, cut to `max_tokens`, and whether they come from the model's tokenizer.

    Without a tokenizer the ids are random ones of the given seed.
    """
    model = ModelFolder.read(folder)
    if model.has_tokenizer:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        return [tokenizer.encode(text)[:max_tokens] for text in texts], True
    import torch

    generator = torch.Generator().manual_seed(seed)
    length = min(_RANDOM_TOKENS, max_tokens)
    vocabulary = int(model.config["vocab_size"])
    return [
        torch.randint(vocabulary, (length,), generator=generator).tolist() for _ in texts
    ], False
