"""Folding onto the int8 base and onto the original weights, both against what was trained.

    python benchmarks/fold_bases.py RUN OUT.json [--documents 16] [--tokens 256]

RUN is a finished run whose training stored its base as int8. The trained model is the gated
checkpoint with those very weights and the adapter, in float32; both folds are compared with it on
held-out documents of the run's corpus.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from torch import nn

from so8t_core.contract.rundir import RunDir
from so8t_core.evaluation.models import load_tuned
from so8t_core.model.compare import compare, logits_of
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.int8 import store_as_int8
from so8t_core.model.loading import load_base, load_tokenizer


def held_out(run: RunDir, checkpoint: Path, documents: int, tokens: int) -> list[list[int]]:
    """Token ids of the first held-out documents, each cut to `tokens`."""
    files = sorted(map(str, (run.phase("cleanse") / "corpus").glob("test*.parquet")))
    rows = load_dataset("parquet", data_files=files, split="train")
    encode = load_tokenizer(checkpoint)
    return [encode(row["text"])["input_ids"][:tokens] for row in rows.select(range(documents))]


def loss(logits: list[torch.Tensor], ids: list[list[int]]) -> float:
    """Mean next-token loss over all tokens, in nats."""
    every = [
        nn.functional.cross_entropy(one[:-1].float(), torch.tensor(text[1:]), reduction="none")
        for one, text in zip(logits, ids, strict=True)
    ]
    return float(torch.cat(every).mean())


def main() -> None:
    """Fold twice, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=256)
    options = parser.parse_args()
    run = RunDir(options.run)
    checkpoint = run.phase("integrate") / "checkpoint"
    adapter = run.phase("train") / "adapter"
    ids = held_out(run, checkpoint, options.documents, options.tokens)
    trained = load_tuned(checkpoint, adapter, device="cpu", dtype=torch.float32)
    stored = store_as_int8(trained)
    expected = logits_of(trained, ids)
    del trained
    result: dict[str, Any] = {
        "documents": len(ids),
        "tokens": sum(map(len, ids)),
        "int8_weights": stored,
        "trained_loss_nats": loss(expected, ids),
    }
    for onto in ("original", "int8"):
        gc.collect()
        with tempfile.TemporaryDirectory() as place:
            folded = Path(place) / "folded"
            fold_checkpoint(checkpoint, folded, adapter=adapter, dtype="float32", onto=onto)
            found = logits_of(load_base(folded, dtype=torch.float32), ids)
        result[onto] = {**asdict(compare(expected, found)), "loss_nats": loss(found, ids)}
    options.out.write_text(json.dumps(result, indent=1))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
