"""Which held-out items are evaluated, as token ids that every model gets alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import sha256_text
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.evaluation.items import Items, Prompt, ScoredText
from so8t_core.evaluation.safety import choose_safety_prompts
from so8t_core.evaluation.tasks import choose_task_items
from so8t_core.training.encoding import Encoder
from so8t_core.training.formats import Conversation, parse_row
from so8t_core.training.rows import read_rows


def choose_items(cleansed: Path, encoder: Encoder, settings: EvaluateSettings, seed: int) -> Items:
    """Choose from cleanse's test split, the same items for the same seed.

    Where there are more rows than wanted, those with the smallest seeded hash of their id are
    taken. `encoder` must hold at least `max_tokens_per_item` tokens and drop longer pairs.
    """
    left_out: Counter[str] = Counter()
    documents = _ordered(read_rows(cleansed / "corpus" / "test.parquet"), seed)
    left_out["documents_beyond_limit"] = max(0, len(documents) - settings.max_documents)
    texts = [
        _document(row, encoder, settings.max_tokens_per_item)
        for row in documents[: settings.max_documents]
    ]
    pairs = _ordered(read_rows(cleansed / "instruction" / "test.parquet"), seed)
    answers, prompts = _choose_pairs(pairs, encoder, settings, left_out)
    safety = choose_safety_prompts(cleansed, encoder, settings.safety, seed, left_out)
    return Items(
        (*texts, *answers),
        tuple(prompts),
        safety,
        tuple(choose_task_items(task, seed) for task in settings.tasks),
        {reason: count for reason, count in sorted(left_out.items()) if count},
    )


def _choose_pairs(
    pairs: Sequence[dict[str, Any]],
    encoder: Encoder,
    settings: EvaluateSettings,
    left_out: Counter[str],
) -> tuple[list[ScoredText], list[Prompt]]:
    answers: list[ScoredText] = []
    prompts: list[Prompt] = []
    for row in pairs:
        if len(answers) >= settings.max_answers and len(prompts) >= settings.max_prompts:
            left_out["pairs_beyond_limit"] += 1
            continue
        sample = parse_row(row, "alpaca")
        if not isinstance(sample, Conversation):
            left_out[f"pairs_{sample}"] += 1
            continue
        encoded = encoder.encode(sample)
        if not encoded:
            left_out["pairs_too_long"] += 1
            continue
        ids, learnt = tuple(encoded[0].ids), encoded[0].learnt
        question, answer = (message.content for message in sample.messages)
        if len(answers) < settings.max_answers:
            answers.append(_answer(row, ids, learnt, answer, encoder))
        begin = learnt.index(True)
        if begin > settings.max_prompt_tokens:
            left_out["prompts_too_long"] += 1
        elif len(prompts) < settings.max_prompts:
            prompts.append(Prompt(f"prompt:{row['id']}", ids[:begin], question, answer))
    return answers, prompts


def _ordered(rows: Iterable[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: sha256_text(f"{seed}:{row['id']}"))


def _answer(
    row: dict[str, Any],
    ids: tuple[int, ...],
    learnt: Sequence[bool],
    answer: str,
    encoder: Encoder,
) -> ScoredText:
    """The tokens of the answer without the one that closes it."""
    control = frozenset(encoder.tokenizer.all_special_ids)
    return ScoredText(
        id=f"answer:{row['id']}",
        cluster=str(row["group"]),
        kind="answer",
        ids=ids,
        scored=tuple(
            counts and token not in control for token, counts in zip(ids, learnt, strict=True)
        ),
        size_bytes=len(answer.encode()),
    )


def _document(row: dict[str, Any], encoder: Encoder, max_tokens: int) -> ScoredText:
    """A document's beginning after one start token, every token of the text scored."""
    start = start_token(encoder.tokenizer)
    text, ids = fitting_prefix(str(row["text"]), encoder.literal_ids, max_tokens - 1)
    return ScoredText(
        id=f"document:{row['id']}",
        cluster=str(row["group"]),
        kind="document",
        ids=(start, *ids),
        scored=(False, *(True for _ in ids)),
        size_bytes=len(text.encode()),
    )


def start_token(tokenizer: Any) -> int:
    """What stands before the first token: begin of text, else end of text.

    Raises `ModelError` for a tokenizer with neither.
    """
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError(
        "The tokenizer has neither a begin-of-text nor an end-of-text token.",
        where=str(tokenizer.name_or_path),
        hint="Set bos_token or eos_token in the base's tokenizer_config.json.",
    )


def fitting_prefix(
    text: str, encode: Callable[[str], list[int]], max_tokens: int
) -> tuple[str, list[int]]:
    """The longest beginning of the text, in whole characters, of at most `max_tokens` tokens.

    Found by doubling and bisection. Cutting text and encoding the rest keeps bytes and tokens in
    step, which cutting tokens would not where a character spans several.
    """
    window = max_tokens
    ids = encode(text[:window])
    while len(ids) <= max_tokens and window < len(text):
        window *= 2
        ids = encode(text[:window])
    if len(ids) <= max_tokens:
        return text, ids
    fits, exceeds = 0, window
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if len(encode(text[:middle])) <= max_tokens:
            fits = middle
        else:
            exceeds = middle
    return text[:fits], encode(text[:fits])
