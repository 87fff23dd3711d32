"""Are our GGUF files right? llama.cpp against the Hugging Face model, and against its own files.

    python benchmarks/gguf_llamacpp.py FOLDED [--types F32 ...] [--theirs FILE] [--json OUT]

FOLDED is a folded checkpoint (a run's export/folded). Needs llama-cpp-python. Each type is written
by us and, from FILE, by llama.cpp: FILE is what its convert_hf_to_gguf.py made of FOLDED with
--outtype f32 (for a byte-level tokenizer it wants `GPT2Tokenizer` as tokenizer_class); without it
our own F32 file is quantised by llama.cpp. Prints one JSON object, and exits 1 where a bar is
missed:

- F32 and F16: the largest logit difference from the folded model on a scale of 30, over every
  position of six texts, and the same best token wherever it leads by over twice the bar;
- Q8_0: bits per byte against the folded model; all types: against llama.cpp's file of that type;
- 10,000 random strings are cut into the same tokens.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import torch
from transformers import AutoTokenizer, Phi3ForCausalLM

from so8t_core.export.gguf import GgufSource, write_gguf
from so8t_core.export.llama_check import compare_with_llama_cpp, opened, tokenise
from so8t_core.export.odd_text import odd_texts

BARS = {"F32": 0.03, "F16": 0.06}
"""Largest logit difference on a scale of 30."""
BITS_BAR = 0.005
"""Largest relative difference of bits per byte."""
STRINGS = 10_000
SEED = 20261128

LOGIT_TEXTS = (
    "日本の首都は東京です。人口は約1400万人で、政治と経済の中心になっています。",
    "質問: 図書館で本を借りるには何が必要ですか。\n回答: 利用者カードが必要です。🙂 ①Ⅳ㌔",
    "The capital of France is Paris.  Two spaces,\ttab, and 12345 digits.\n\n\nThree lines.",
    "def fibonacci(n: int) -> int:\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
    "<|im_start|>user\nこんにちは<|im_end|>\n<|im_start|>assistant\n",
    "<|user|>\nこんにちは。<|end|>\n<|assistant|>\n",
)
BITS_TEXT = (Path(__file__).parents[1] / "README.ja.md", Path(__file__).parents[1] / "LICENSE")
"""Prose in Japanese and in English."""
BITS_TOKENS = 512

Ids = Sequence[int]


def bits_per_byte(logits: Any, ids: Ids, size_bytes: int) -> float:
    """Of all tokens but the first, from logits at each position."""
    table = torch.from_numpy(np.asarray(logits[: len(ids) - 1])).double().log_softmax(-1)
    total = table[torch.arange(len(ids) - 1), torch.tensor(list(ids[1:]))].sum()
    return -float(total) / math.log(2) / size_bytes


def llama_bits(path: Path, texts: Sequence[tuple[Ids, int]]) -> float:
    """Bits per byte over all texts together, in llama.cpp."""
    bits, size = 0.0, 0
    with opened(path, context_tokens=BITS_TOKENS) as llama:
        for ids, size_bytes in texts:
            llama.reset()
            llama.eval(list(ids))
            bits += bits_per_byte(llama.scores, ids, size_bytes) * size_bytes
            size += size_bytes
    return bits / size


def quantise(source: Path, target: Path, type_: str) -> None:
    """llama.cpp's own quantisation."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    names = {"F32": "ALL_F32"}
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_{names.get(type_, f'MOSTLY_{type_}')}")
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), parameters):
        raise RuntimeError(f"llama.cpp could not make {type_}")


class Reference:
    """The folded model in transformers, float32, and what it is asked."""

    def __init__(self, folded: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folded)
        model = Phi3ForCausalLM.from_pretrained(folded, dtype=torch.float32).eval()
        self.logits = []
        self.bits_texts: list[tuple[Ids, int]] = []
        bits, size = 0.0, 0
        with torch.inference_mode():
            for text in LOGIT_TEXTS:
                ids = self.tokenizer(text).input_ids
                self.logits.append((ids, model(torch.tensor([ids])).logits[0].numpy()))
            for path in BITS_TEXT:
                ids = self.tokenizer(path.read_text(encoding="utf-8")).input_ids[:BITS_TOKENS]
                size_bytes = len(self.tokenizer.decode(ids[1:]).encode())
                logits = model(torch.tensor([ids])).logits[0].numpy()
                bits += bits_per_byte(logits, ids, size_bytes) * size_bytes
                size += size_bytes
                self.bits_texts.append((ids, size_bytes))
        self.bits_per_byte = bits / size


def tokens_equal(path: Path, tokenizer: Any) -> int:
    """How many of the random strings llama.cpp cuts as the tokenizer does."""
    with opened(path, context_tokens=64) as llama:
        return sum(
            tokenise(llama, text) == tokenizer(text).input_ids
            for text in odd_texts(STRINGS, SEED, tokenizer.all_special_tokens)
        )


def judge(type_: str, ours: Path, theirs: Path, reference: Reference) -> dict[str, Any]:
    """One type: logits where there is a bar, and bits per byte of both files."""
    bar = BARS.get(type_)
    tolerance = (bar or BARS["F16"]) / 30
    found = compare_with_llama_cpp(
        ours, texts=(), expected=reference.logits, tolerance=tolerance, step=lambda: None
    )
    bits = {"ours": llama_bits(ours, reference.bits_texts)}
    bits["llama_cpp"] = llama_bits(theirs, reference.bits_texts)
    result = {
        "size_bytes": ours.stat().st_size,
        "size_bytes_llama_cpp": theirs.stat().st_size,
        "difference_on_scale_of_30": found.relative * 30,
        "top1_agreement": found.top1_agreement,
        "clear_positions": found.clear_positions,
        "clear_agreement": found.clear_agreement,
        "positions": found.positions,
        "bits_per_byte": bits,
        "from_llama_cpp": bits["ours"] / bits["llama_cpp"] - 1,
        "from_folded": bits["ours"] / reference.bits_per_byte - 1,
    }
    held = abs(result["from_llama_cpp"]) <= BITS_BAR
    if bar is not None:
        held = held and found.relative * 30 <= bar and found.clear_agreement == 1
    if type_ == "Q8_0":
        held = held and abs(result["from_folded"]) <= BITS_BAR
    return {**result, "held": held}


def main() -> int:
    """Write, compare, print; 0 when every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folded", type=Path)
    types = ["F32", "F16", "BF16", "Q8_0", "Q5_0", "Q4_0"]
    parser.add_argument("--types", nargs="+", default=types, choices=types)
    parser.add_argument("--theirs", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    reference = Reference(arguments.folded)
    source = GgufSource.of(arguments.folded)
    result: dict[str, Any] = {"folded_bits_per_byte": reference.bits_per_byte, "types": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact = folder / "ours-F32.gguf"
        write_gguf(source, exact, type_="F32", name="bench", provenance={})
        theirs = arguments.theirs or exact
        result["converted_by_llama_cpp"] = arguments.theirs is not None
        equal = tokens_equal(exact, reference.tokenizer)
        result["strings"], result["strings_tokenised_equally"] = STRINGS, equal
        for type_ in arguments.types:
            ours, other = folder / f"ours-{type_}.gguf", folder / f"theirs-{type_}.gguf"
            if type_ != "F32":
                write_gguf(source, ours, type_=type_, name="bench", provenance={})
                quantise(theirs, other, type_)
            result["types"][type_] = judge(
                type_, ours, other if other.exists() else theirs, reference
            )
            if type_ != "F32":
                ours.unlink()
                other.unlink()
    shown = json.dumps(result, indent=2)
    print(shown)
    if arguments.json:
        arguments.json.write_text(shown + "\n", encoding="utf-8")
    held = equal == STRINGS and all(one["held"] for one in result["types"].values())
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
