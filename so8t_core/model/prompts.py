"""Token ids on which models are compared: texts, or random ids where there is no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from so8t_core.contract.errors import UsageError
from so8t_core.model.loading import load_tokenizer
from so8t_core.model.weights import ModelFolder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_RANDOM_TOKENS = 24


def prompt_ids(
    folder: Path,
    texts: Sequence[str],
    *,
    max_tokens: int,
    min_tokens: int = 1,
    seed: int,
    trust_remote_code: bool = False,
) -> tuple[list[list[int]], bool]:
    """Ids of each text, cut to `max_tokens`, and whether they come from the model's tokenizer.

    Without a tokenizer the ids are random ones of the given seed. Raises `UsageError` for a text
    that is no Unicode or has fewer than `min_tokens`.
    """
    model = ModelFolder.read(folder)
    if model.has_tokenizer:
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        return [_encode(tokenizer, text, min_tokens)[:max_tokens] for text in texts], True
    import torch

    generator = torch.Generator().manual_seed(seed)
    length = min(_RANDOM_TOKENS, max_tokens)
    vocabulary = int(model.config["vocab_size"])
    return [
        torch.randint(vocabulary, (length,), generator=generator).tolist() for _ in texts
    ], False


def _encode(tokenizer: PreTrainedTokenizerBase, text: str, min_tokens: int) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"A prompt is no Unicode text ({error.reason}).",
            where=repr(text),
            hint="Write each character of the prompt as it is; half a surrogate pair is none.",
        ) from error
    ids: list[int] = tokenizer.encode(text)
    if len(ids) < min_tokens:
        raise UsageError(
            f"A prompt has {len(ids)} token(s) where at least {min_tokens} are needed.",
            where=repr(text),
            hint="Give a longer prompt.",
        )
    return ids
