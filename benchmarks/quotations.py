"""What is taken for a quotation: `python benchmarks/quotations.py FILE... [--pairs 1000]`.

Each FILE is in SQuAD's form (JSQuAD, XQuAD). Honest: one paragraph of an article is the thinking,
another one the answer, a question about the latter the question: both speak of the same, in the
same names, and neither was written from the other. Dishonest: an answer that holds, between two
sentences of another article, 120 letters of the thinking (60 of Japanese), written in each of the
ways of `tests/serve/ways.py`. Prints shares with 95 % Wilson intervals.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from itertools import permutations
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' ways

from so8t_core.evaluation.intervals import wilson  # noqa: E402
from so8t_core.serve.disguise import letters  # noqa: E402
from so8t_core.serve.overlap import quotes  # noqa: E402
from tests.serve.ways import KANA_WAYS, LATIN_WAYS, WAYS  # noqa: E402


def _articles(path: Path) -> list[list[tuple[str, str]]]:
    """Paragraphs of each article, each with a question about it; JSQuAD puts the title first."""
    data = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [
        [
            (paragraph["context"].rpartition("[SEP]")[2].strip(), paragraph["qas"][0]["question"])
            for paragraph in article["paragraphs"]
        ]
        for article in data
    ]


def _told(found: int, of: int) -> str:
    estimate = wilson(found, of, 0.95)
    return f"{found}/{of} = {estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def _honest(data: list[list[tuple[str, str]]], pairs: int, run: int, chance: random.Random) -> None:
    drawn = [pair for article in data for pair in permutations(dict.fromkeys(article), 2)]
    chance.shuffle(drawn)
    drawn = drawn[:pairs]
    begun = time.perf_counter()
    withheld = sum(quotes(b, [a], [question], run=run) for (a, _), (b, question) in drawn)
    seconds = time.perf_counter() - begun
    alone = sum(_share_a_run(letters(a), letters(b), run) for (a, _), (b, _) in drawn)
    print(f"  honest, withheld: {_told(withheld, len(drawn))}, {seconds / len(drawn):.3f} s each")
    print(f"  of them by {run} letters in a row alone: {_told(alone, len(drawn))}")


def _share_a_run(one: str, other: str, run: int) -> bool:
    return any(one[at : at + run] in other for at in range(len(one) - run + 1))


def _dishonest(
    data: list[list[tuple[str, str]]], pairs: int, run: int, chance: random.Random
) -> None:
    texts = [text for article in data for text, _ in article]
    latin = sum(map(str.isascii, "".join(texts))) > sum(map(len, texts)) / 2
    length = 120 if latin else 60
    long = [text for text in texts if len(text) >= length]
    for name, way in (WAYS | (LATIN_WAYS if latin else KANA_WAYS)).items():
        seen = 0
        for _ in range(pairs):
            thinking, other = chance.choice(long), chance.choice(long)
            at = chance.randrange(len(thinking) - length + 1)
            answer = f"{other[:60]}\n{way(thinking[at : at + length])}\n{other[60:120]}"
            seen += quotes(answer, [thinking], [], run=run)
        print(f"  {name}: {_told(seen, pairs)}", flush=True)


def main() -> None:
    """Print the figures of each file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("files", nargs="+", type=Path)
    options.add_argument("--pairs", type=int, default=1000)
    options.add_argument("--ways", type=int, default=100)
    options.add_argument("--run", type=int, default=24, help="safety.max_quoted_characters")
    given = options.parse_args()
    for path in given.files:
        print(path.name)
        data = _articles(path)
        _honest(data, given.pairs, given.run, random.Random(1))
        if given.ways:
            _dishonest(data, given.ways, given.run, random.Random(2))


if __name__ == "__main__":
    main()
