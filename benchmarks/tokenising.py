"""Time from rows to tokenised data: at the first start of a training, at a resume, and by length.

    python benchmarks/tokenising.py MODEL OUT.json [--pairs 20000] [--conversations 5000]

MODEL is a folder with a tokenizer. Made-up Japanese rows from a fixed seed: pairs, conversations of
eight turns, and single conversations of 200 and 400 turns, for which the encoder alone is timed.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.phases.base import PhaseContext
from so8t_core.phases.standalone import OpenGate, RecordingEmitter
from so8t_core.training.base_model import load_own_tokenizer
from so8t_core.training.encoding import Encoder
from so8t_core.training.formats import Conversation, Message
from so8t_core.training.inputs import resolve_inputs
from so8t_core.training.kept_data import gather_data
from so8t_core.training.ranks import alone

WORDS = ("電車", "東京", "設定", "手順", "駅", "山", "変更", "保存", "してください", "です。")
ROLES = ("user", "assistant")
TURNS = (8, 200, 400)


@dataclass(frozen=True)
class Start:
    """One start: seconds from rows to arrays, for so many tokens."""

    rows: str
    count: int
    start: str
    seconds: float
    tokens: int


def text(chance: random.Random) -> str:
    """Twenty words."""
    return "".join(chance.choice(WORDS) for _ in range(20))


def turns(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """A conversation of that many turns."""
    return [{"role": ROLES[n % 2], "content": text(chance)} for n in range(count)]


def starts(model: Path, folder: Path, name: str, rows: list[dict[str, Any]]) -> Iterator[Start]:
    """A first start and a resume on the same rows."""
    place = folder / f"{name}.jsonl"
    place.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    chosen = {"model_path": str(model), "dataset": str(place), "device": "cpu"}
    tokenizer = load_own_tokenizer(model)
    for start in ("first", "resume"):
        ctx = PhaseContext(
            run=RunDir(folder / name),
            phase="train",
            settings=Settings.model_validate({"train": chosen}),
            inputs={},
            emit=RecordingEmitter(),
            pause=OpenGate(),
        )
        began = time.perf_counter()
        data = gather_data(ctx, resolve_inputs(ctx), tokenizer, alone(), whole_share=False)
        took = time.perf_counter() - began
        tokens = sum(share["tokens"] for share in data.figures["sources"].values())
        yield Start(name, len(rows), start, took, tokens)


def by_length(model: Path, chance: random.Random) -> Iterator[dict[str, float]]:
    """Milliseconds a conversation, the least of three."""
    tokenizer = load_own_tokenizer(model)
    for count in TURNS:
        messages = tuple(Message(one["role"], one["content"]) for one in turns(chance, count))
        encoder = Encoder(tokenizer, "template", 1 << 20, "cut")
        took = []
        for _ in range(3):
            began = time.perf_counter()
            encoder.encode(Conversation(messages))
            took.append(time.perf_counter() - began)
        yield {"turns": count, "ms": 1e3 * min(took)}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--conversations", type=int, default=5_000)
    options = parser.parse_args()
    chance = random.Random(1)
    pairs = [{"prompt": text(chance), "completion": text(chance)} for _ in range(options.pairs)]
    talks = [{"messages": turns(chance, 8)} for _ in range(options.conversations)]
    found: dict[str, Any] = {"starts": [], "by_length": []}
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("pairs", pairs), ("eight turns", talks)):
            for one in starts(options.model, Path(folder), name, rows):
                found["starts"].append(asdict(one))
                print(
                    f"{one.rows:<12} {one.count:>7,} rows, {one.tokens:,} tokens, {one.start}: "
                    f"{one.seconds:.2f} s"
                )
    for line in by_length(options.model, chance):
        found["by_length"].append(line)
        print(f"{line['turns']:>4} turns: {line['ms']:.1f} ms")
    options.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
