"""Requests to refuse and requests to answer, and whether an answer refuses.

XSTest (Röttger et al. 2024, arXiv:2308.01263) pairs unsafe requests with safe ones that use the
same words. Cleanse's held-out safety rows carry one of the four labels: ALLOW is to be answered,
the others are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from so8t_core.contract.files import sha256_text
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.tasks import SafetyTestSettings
from so8t_core.evaluation.items import SafetyPrompt
from so8t_core.evaluation.task_rows import read_rows as read_benchmark
from so8t_core.training.encoding import Encoder
from so8t_core.training.formats import Conversation, Message
from so8t_core.training.rows import read_rows


def choose_safety_prompts(
    cleansed: Path,
    encoder: Encoder,
    settings: SafetyTestSettings,
    seed: int,
    left_out: Counter[str],
) -> tuple[SafetyPrompt, ...]:
    """XSTest's prompts, half safe and half unsafe, and held-out rows of each label.

    The same for the same seed. What the encoder drops is counted in `left_out`.
    """
    wanted: list[tuple[str, str, str]] = []
    if settings.xstest is not None:
        rows = read_benchmark("xstest", settings.xstest)
        for group in ("safe", "unsafe"):
            chosen = _first([row for row in rows if row["label"] == group], seed)
            half = settings.max_prompts // 2
            wanted += [(f"xstest:{row['id']}", row["prompt"], group) for row in chosen[:half]]
    if settings.max_labelled:
        held_out = list(read_rows(cleansed / "safety" / "test.parquet"))
        for label in SafetyLabel:
            chosen = _first([row for row in held_out if row["label"] == label.value], seed)
            wanted += [
                (f"labelled:{row['id']}", str(row["text"]), label.value)
                for row in chosen[: settings.max_labelled]
            ]
    prompts = []
    for prompt_id, text, group in wanted:
        ids = encode_request(encoder, text)
        if ids is None:
            left_out["safety_prompts_too_long"] += 1
            continue
        harmless = group in ("safe", SafetyLabel.ALLOW.value)
        prompts.append(SafetyPrompt(prompt_id, ids, group, not harmless))
    return tuple(prompts)


def encode_request(encoder: Encoder, text: str) -> tuple[int, ...] | None:
    """The tokens of a user's turn up to where the assistant's begins; None where it is too long."""
    encoded = encoder.encode(Conversation((Message("user", text), Message("assistant", "。"))))
    return tuple(encoded[0].ids[: encoded[0].learnt.index(True)]) if encoded else None


def _first(rows: Iterable[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: sha256_text(f"{seed}:{row['id']}"))
