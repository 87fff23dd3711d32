"""Near-duplicates: recall and precision on made pairs, the border of the split, and speed.

    python benchmarks/duplicates.py [--documents 20000] [--pairs 3000] [--json OUT]

Pairs: a text and an edited copy of it (letters changed, cut at an end, sentences moved), at every
Jaccard index around the threshold; the truth is the exact index of their sets of 5-grams. Split: a
corpus with families of near-duplicates goes through the phase's own gathering; then every held-out
text is compared with every text of another split, without any index, by a sparse matrix product.
Speed: signatures a second of one core, beside rensa alone on the same texts.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from rensa import RMinHash

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so8t_core.cleanse import dedup
from so8t_core.cleanse.catalogue import Catalogue
from so8t_core.cleanse.dedup import near_duplicates, read_signatures, sign
from so8t_core.cleanse.gather import gather
from so8t_core.cleanse.items import Items
from so8t_core.contract.settings.cleanse import CleanseSettings
from tests.cleanse.judged_shards import write_shards
from tests.cleanse.references import jaccard, shingles
from tests.cleanse.samples import prose

BANDS, ROWS, THRESHOLD = 32, 4, 0.8


def edited(text: str, chance: random.Random) -> str:
    """A copy with letters changed, an end cut off, or sentences moved."""
    letters = list(text)
    for place in chance.sample(range(len(letters)), chance.randrange(0, len(letters) // 20)):
        letters[place] = chr(chance.randrange(0x4E00, 0x9FA0))
    copy = "".join(letters)
    if chance.random() < 0.3:
        copy = copy[: int(len(copy) * chance.uniform(0.75, 1))]
    if chance.random() < 0.3:
        sentences = copy.split("。")
        chance.shuffle(sentences)
        copy = "。".join(sentences)
    return copy


def made_pairs(count: int) -> dict[str, Any]:
    """Recall and precision of the search over all pairs at once."""
    chance = random.Random(5)
    texts = []
    for number in range(count):
        text = prose(10_000 + number, 3)[: chance.randrange(250, 900)]
        texts += [text, edited(text, chance)]
    grams = [shingles(text) for text in texts]
    signatures = read_signatures(sign(texts, BANDS * ROWS), BANDS * ROWS)
    hashed = [dedup.shingles(text) for text in texts]
    found = near_duplicates(
        signatures, np.arange(len(texts)), BANDS, THRESHOLD, hashed.__getitem__, lambda: None
    )
    true = {
        pair for pair in range(count) if jaccard(grams[2 * pair], grams[2 * pair + 1]) >= THRESHOLD
    }
    joined = {pair for pair in range(count) if found.find(2 * pair) == found.find(2 * pair + 1)}
    strangers = sum(found.find(place) // 2 != place // 2 for place in range(len(texts)))
    return {
        "pairs": count,
        "pairs_at_or_above": len(true),
        "recall": len(true & joined) / len(true),
        "precision": len(true & joined) / len(joined),
        "texts_joined_to_strangers": strangers,
    }


def across_the_split(count: int) -> dict[str, Any]:
    """Near-duplicates between held-out texts and the others after gathering, by brute force."""
    chance = random.Random(6)
    texts: list[str] = []
    while len(texts) < count:
        text = prose(50_000 + len(texts), 2)[: chance.randrange(220, 480)]
        texts.append(text)
        for _ in range(chance.choice((0, 0, 0, 1, 2, 6))):
            texts.append(edited(chance.choice(texts[-3:]), chance))
    texts = texts[:count]
    settings = CleanseSettings(validation_share=0.1, test_share=0.1, min_repeated_passage=0)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        shards = write_shards(scratch / "shards", texts, BANDS * ROWS)
        started = time.perf_counter()
        items = Items(scratch / "items", BANDS * ROWS)
        catalogue = Catalogue.of(shards, items, scratch, lambda: None)
        gathered = gather(catalogue, settings, 0, scratch, lambda _: None, lambda: None)
        rows = [(row, split) for _, split, page in gathered.rows_by_page() for row in page.corpus]
        seconds = time.perf_counter() - started
    splits = np.array([split for _, split in rows])
    vocabulary: dict[str, int] = {}
    columns, starts = [], [0]
    for row, _ in rows:
        columns += [vocabulary.setdefault(gram, len(vocabulary)) for gram in shingles(row.text)]
        starts.append(len(columns))
    matrix = scipy.sparse.csr_matrix(
        (np.ones(len(columns), dtype=np.int32), columns, starts), shape=(len(rows), len(vocabulary))
    )
    sizes = np.asarray(matrix.sum(axis=1)).ravel()
    crossing, highest = 0, 0.0
    held_out = np.flatnonzero(splits != "train")
    for start in range(0, len(held_out), 200):
        some = held_out[start : start + 200]
        shared = (matrix[some] @ matrix.T).toarray()
        index = shared / (sizes[some][:, None] + sizes[None, :] - shared)
        index[splits[some][:, None] == splits[None, :]] = 0
        crossing += int((index >= THRESHOLD).sum())
        highest = max(highest, float(index.max()))
    return {
        "documents": count,
        "kept": len(rows),
        "splits": dict(Counter(splits.tolist())),
        "groups_moved_at_border": gathered.border_moves,
        "pairs_compared": int(len(held_out) * len(rows)),
        "near_duplicates_across": crossing,
        "highest_index_across": highest,
        "gather_s": seconds,
    }


def speed(count: int) -> dict[str, Any]:
    """Signatures a second, each over the same texts; the best of three rounds."""
    texts = [prose(90_000 + number, 3)[:474] for number in range(count)]

    def alone() -> None:
        for text in texts:
            minhash = RMinHash(num_perm=BANDS * ROWS, seed=42)
            minhash.update([text[place : place + 5] for place in range(len(text) - 4)])
            minhash.digest()

    def ours() -> None:
        for text in texts:
            sign([text], BANDS * ROWS)

    def rate(run: Any) -> float:
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            run()
            best = min(best, time.process_time() - started)
        return count / best

    return {
        "rensa_alone_per_s": rate(alone),
        "ours_per_s": rate(ours),
        "texts": count,
        "signature_bytes_a_document": BANDS * ROWS * 4,
    }


def main() -> None:
    """Print all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = {
        "made_pairs": made_pairs(arguments.pairs),
        "split": across_the_split(arguments.documents),
        "signatures": speed(4000),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
