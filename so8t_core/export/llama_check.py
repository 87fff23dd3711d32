"""A GGUF file in llama.cpp itself: the same tokens, and logits close to the folded model's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from so8t_core.contract.errors import ModelError
from so8t_core.contract.settings.export import ExportSettings, GgufType
from so8t_core.export.odd_text import odd_texts
from so8t_core.model.compare import logits_of
from so8t_core.model.llama_cpp_package import load
from so8t_core.model.loading import load_base, load_tokenizer

_ODD_TEXTS = 300
_SEED = 7

Logits = npt.NDArray[np.float32]

RELATIVE_LIMITS: dict[GgufType, float] = {"F32": 1e-3, "F16": 5e-3}
"""Largest logit difference over the largest logit that passes.

With an F16 file llama.cpp rounds activations to float16 too. Other types round too coarsely for a
limit; theirs are only reported.
"""


@dataclass(frozen=True)
class LlamaComparison:
    """What llama.cpp makes of a file.

    `max_difference` of logits over every position, `scale` the largest absolute logit of the
    folded model, `relative` the one over the other. `top1_agreement`: share of positions with the
    same best token; `clear_positions` those where the best token leads by more than twice the
    tolerance, and `clear_agreement` the share among them. `texts_tokenised_equally` of `texts`.
    """

    max_difference: float
    scale: float
    relative: float
    positions: int
    top1_agreement: float
    clear_positions: int
    clear_agreement: float
    texts: int
    texts_tokenised_equally: int


@dataclass(frozen=True)
class LlamaReference:
    """The folded model's side: texts with their tokens, and prompts with their logits."""

    texts: tuple[tuple[str, tuple[int, ...]], ...]
    prompts: tuple[tuple[tuple[int, ...], Logits], ...]

    @classmethod
    def of(
        cls, folded: Path, settings: ExportSettings, *, trust_remote_code: bool
    ) -> LlamaReference:
        """Tokenise odd texts and read the proof's prompts, in float32 on the CPU."""
        tokenizer: Any = load_tokenizer(folded, trust_remote_code=trust_remote_code)
        texts = (
            *settings.proof_prompts,
            *odd_texts(_ODD_TEXTS, _SEED, tokenizer.all_special_tokens),
        )
        ids = [tokenizer(text).input_ids for text in settings.proof_prompts]
        cut = [tuple(row[: settings.proof_max_tokens]) for row in ids]
        logits = logits_of(load_base(folded, dtype=torch.float32), cut)
        return cls(
            tuple((text, tuple(tokenizer(text).input_ids)) for text in texts),
            tuple((row, found.numpy()) for row, found in zip(cut, logits, strict=True)),
        )

    def require_close(
        self, path: Path, type_: GgufType, caveat: str | None, step: Callable[[], None]
    ) -> LlamaComparison:
        """Compare a file. Raises `ModelError` where llama.cpp computes something else.

        `caveat` names a known difference of the tokenizer; without one all texts must agree.
        """
        found = compare_with_llama_cpp(
            path,
            texts=self.texts,
            expected=self.prompts,
            tolerance=RELATIVE_LIMITS.get(type_, RELATIVE_LIMITS["F16"]),
            step=step,
        )
        require_close(found, path, type_, caveat)
        return found


@contextmanager
def opened(path: Path, *, context_tokens: int) -> Iterator[Any]:
    """The file in llama.cpp, all logits kept, with a float32 cache that hides no difference."""
    llama_cpp = load()
    try:
        llama = llama_cpp.Llama(
            str(path),
            n_ctx=context_tokens,
            n_gpu_layers=0,
            logits_all=True,
            verbose=False,
            type_k=llama_cpp.GGML_TYPE_F32,
            type_v=llama_cpp.GGML_TYPE_F32,
        )
    except (ValueError, RuntimeError) as error:
        raise ModelError(
            f"llama.cpp does not load the GGUF file ({error}).",
            where=str(path),
            hint="Report this with the model's config.json; export.llama_cpp: off skips the check.",
        ) from error
    try:
        yield llama
    finally:
        llama.close()


def compare_with_llama_cpp(
    path: Path,
    *,
    texts: Sequence[tuple[str, Sequence[int]]],
    expected: Sequence[tuple[Sequence[int], Logits]],
    tolerance: float,
    step: Callable[[], None],
) -> LlamaComparison:
    """Compare one file. `texts`: each with the tokenizer's ids. `expected`: ids and their logits.

    `tolerance` is relative to the largest logit; `step` runs before each text and prompt.
    """
    length = max(len(ids) for ids, _ in expected)
    with opened(path, context_tokens=max(64, length)) as llama:
        equal = 0
        for text, ids in texts:
            step()
            equal += tokenise(llama, text) == list(ids)
        found = []
        for ids, _ in expected:
            step()
            llama.reset()
            llama.eval(list(ids))
            found.append(np.array(llama.scores[: len(ids)]))
    return _compared(
        np.concatenate([logits for _, logits in expected]),
        np.concatenate(found),
        tolerance,
        (len(texts), equal),
    )


def tokenise(llama: Any, text: str) -> list[int]:
    """The text's tokens as llama.cpp cuts it, a start token before it where the file says so."""
    return list(llama.tokenize(text.encode(), add_bos=True, special=True))


def _compared(
    reference: Logits, found: Logits, tolerance: float, texts: tuple[int, int]
) -> LlamaComparison:
    scale = float(np.abs(reference).max())
    largest = float(np.abs(found - reference).max())
    best_two = np.partition(reference, -2, axis=1)[:, -2:]
    clear = best_two[:, 1] - best_two[:, 0] > 2 * tolerance * scale
    same = found.argmax(axis=1) == reference.argmax(axis=1)
    return LlamaComparison(
        max_difference=largest,
        scale=scale,
        relative=largest / scale if scale else largest,
        positions=len(same),
        top1_agreement=float(same.mean()),
        clear_positions=int(clear.sum()),
        clear_agreement=float(same[clear].mean()) if clear.any() else 1.0,
        texts=texts[0],
        texts_tokenised_equally=texts[1],
    )


def require_close(
    comparison: LlamaComparison, path: Path, type_: GgufType, caveat: str | None
) -> None:
    """Raise `ModelError` where llama.cpp computes something else than the folded model.

    `caveat` names a known difference of the tokenizer; without one all texts must agree.
    """
    wrong = None
    limit = RELATIVE_LIMITS.get(type_)
    if comparison.texts_tokenised_equally < comparison.texts and caveat is None:
        lost = comparison.texts - comparison.texts_tokenised_equally
        wrong = f"cuts {lost} of {comparison.texts} texts into other tokens"
    elif limit is not None and not comparison.relative <= limit:
        wrong = f"gives logits that differ by {comparison.relative:.1e} of their scale"
    elif limit is not None and comparison.clear_agreement < 1:
        wrong = "prefers another token where the folded model is sure of one"
    if wrong is not None:
        raise ModelError(
            f"llama.cpp {wrong} (GGUF {type_}).",
            where=str(path),
            hint="Report this with the model's config.json; export.llama_cpp: off skips the check.",
        )
