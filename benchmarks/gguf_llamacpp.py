"""Is our GGUF right? llama.cpp against the Hugging Face model, at every position of some texts.

    python benchmarks/gguf_llamacpp.py FOLDED_FOLDER FILE.gguf [FILE.gguf ...] [--json OUT]

Needs llama-cpp-python, which is no dependency of ours. Prints one JSON object: per file the
largest logit difference, the scale of the logits, the share of positions with the same best
token, and whether both sides cut the texts into the same tokens. Exits 1 where tokens differ, or
where an F32 or F16 file's logits differ by more than `LIMITS` of the scale.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch
from transformers import AutoTokenizer, Phi3ForCausalLM

LIMITS = {"F32": 1e-3, "F16": 5e-3}
"""Largest logit difference over the scale, by the end of the file's name."""

KEY_VALUE_F32 = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
"""llama.cpp's own float16 cache would hide how exact the file is."""

TEXTS = (
    "日本の首都は東京です。人口は約1400万人で、政治と経済の中心になっています。",
    "質問: 図書館で本を借りるには何が必要ですか。\n回答: 利用者カードが必要です。🙂 ①Ⅳ㌔",
    "The capital of France is Paris.  Two spaces,\ttab, and 12345 digits.\n\n\nThree lines.",
    "def fibonacci(n: int) -> int:\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
    "<|im_start|>user\nこんにちは<|im_end|>\n<|im_start|>assistant\n",
    "<|user|>\nこんにちは。<|end|>\n<|assistant|>\n",
)


def main() -> int:
    """Compare each file with the folder; 0 when all agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folded", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.folded)
    model = Phi3ForCausalLM.from_pretrained(arguments.folded, dtype=torch.float32).eval()
    ids = [tokenizer(text).input_ids for text in TEXTS]
    with torch.no_grad():
        expected = [model(torch.tensor([row])).logits[0].numpy() for row in ids]
    results = {str(file.name): compare(file, ids, expected) for file in arguments.files}
    shown = json.dumps(results, indent=2)
    print(shown)
    if arguments.json:
        arguments.json.write_text(shown + "\n", encoding="utf-8")
    return 0 if all(result["agrees"] for result in results.values()) else 1


def compare(file: Path, ids: list[list[int]], expected: list[Any]) -> dict[str, Any]:
    """One file: tokens of each text, and the logits at each of their positions."""
    llama = llama_cpp.Llama(str(file), n_ctx=512, logits_all=True, verbose=False, **KEY_VALUE_F32)
    tokens_equal = all(
        llama.tokenize(text.encode(), add_bos=True, special=True) == row
        for text, row in zip(TEXTS, ids, strict=True)
    )
    largest = scale = 0.0
    same_best = positions = 0
    for row, reference in zip(ids, expected, strict=True):
        llama.reset()
        llama.eval(row)
        found = np.array(llama.scores[: len(row)])
        difference = np.abs(found - reference).max(axis=1)
        same = found.argmax(axis=1) == reference.argmax(axis=1)
        largest = max(largest, float(difference.max()))
        scale = max(scale, float(np.abs(reference).max()))
        same_best += int(same.sum())
        positions += len(row)
    limit = LIMITS.get(file.stem.rpartition("-")[2], float("inf"))
    return {
        "tokens_equal": tokens_equal,
        "max_logit_difference": largest,
        "logit_scale": scale,
        "same_best_token": same_best / positions,
        "positions": positions,
        "agrees": tokens_equal and largest <= limit * scale,
    }


if __name__ == "__main__":
    sys.exit(main())
