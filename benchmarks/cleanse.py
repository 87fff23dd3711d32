"""Documents a second of one core beside HojiChar and datatrove, with equal rules, in one run.

    python benchmarks/cleanse.py --unpacked DIR --hojichar VENV --datatrove VENV [--json OUT]

The peers run in environments of their own (hojichar 0.18; datatrove 0.10 with spacy, sudachipy,
sudachidict_core, nltk and regex), each in a process with one worker; time is CPU time of the loop
over documents, the best of three rounds. Documents are put together from real paragraphs of
Debian's Japanese documentation (unpacked packages of benchmarks/quality.py), and a tenth are bad
texts of tests/cleanse/bad_pages.py. Decisions are compared one by one, and differences are listed.

HojiChar: twelve of its filters with their defaults. Its patterns and word lists are read from its
own objects at run time. datatrove: the filters of FineWeb-2 with the thresholds of `jpn_Jpan`.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
AVERAGE_CHARACTERS = 474


def timed(decide: Any, texts: list[str]) -> tuple[list[str | None], float]:
    """The decision on each text, and texts a CPU second of the best round."""
    best = float("inf")
    decisions: list[str | None] = []
    for text in texts[:20]:
        decide(text)
    for _ in range(ROUNDS):
        started = time.process_time()
        decisions = [decide(text) for text in texts]
        best = min(best, time.process_time() - started)
    return decisions, len(texts) / best


def peer_hojichar(texts: list[str]) -> dict[str, Any]:
    """Inside HojiChar's environment: its chain, its decisions, and the words it looks for."""
    from hojichar import Document
    from hojichar.filters import document_filters as filters

    chain = [
        ("length", filters.DocumentLengthFilter(200, 50_000)),
        ("kana", filters.AcceptJapanese()),
        ("stops", filters.DiscardRareKuten()),
        ("adult", filters.DiscardAdultContentJa()),
        ("discrimination", filters.DiscardDiscriminationContentJa()),
        ("violence", filters.DiscardViolenceContentJa()),
        ("ads", filters.DiscardAds()),
        ("board", filters.DiscardBBSComments()),
        ("ellipsis", filters.DiscardTooManyEndingEllipsis()),
        ("short_lines", filters.DiscardTooShortLines()),
        ("one_letter", filters.SingleCharacterRepetitionFilter()),
        ("repetition", filters.CharRepetitionRatioFilter()),
    ]

    def decide(text: str) -> str | None:
        document = Document(text)
        for name, step in chain:
            document = step.apply(document)
            if document.is_rejected:
                return name
        return None

    decisions, rate = timed(decide, texts)
    words = {name: step.keyword_pat.pattern for name, step in chain if hasattr(step, "keyword_pat")}
    return {"decisions": decisions, "per_s": rate, "patterns": words}


def peer_datatrove(texts: list[str], thresholds: dict[str, Any]) -> dict[str, Any]:
    """Inside datatrove's environment: FineWeb-2's three filters."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    language = "jpn_Jpan"
    chain = [
        GopherRepetitionFilter(
            dup_line_frac=thresholds["lines"], dup_para_frac=0, dup_line_char_frac=0,
            dup_para_char_frac=0, top_n_grams=thresholds["top"], dup_n_grams=thresholds["repeated"],
            language=language,
        ),
        FineWebQualityFilter(
            line_punct_thr=thresholds["ends"], short_line_thr=999, char_duplicates_ratio=0.1,
            new_line_ratio=thresholds["breaks"], language=language,
        ),
        GopherQualityFilter(
            min_avg_word_length=1, max_avg_word_length=6,
            stop_words=list("のにをはたてがとで年し・月れさ"),
            max_non_alpha_words_ratio=thresholds["letters"],
            min_stop_words=2, language=language,
        ),
    ]  # fmt: skip

    def decide(text: str) -> str | None:
        document = Document(text=text, id="")
        for step in chain:
            found = step.filter(document)
            if found is not True:
                return found[1] if isinstance(found, tuple) else "dropped"
        return None

    decisions, rate = timed(decide, texts)
    return {"decisions": decisions, "per_s": rate}


def paragraphs(unpacked: Path) -> list[str]:
    """Real paragraphs of 30 to 400 characters."""
    from selectolax.lexbor import LexborHTMLParser

    from benchmarks.quality import MOST_BYTES, PATTERNS
    from so8t_core.cleanse.text import normalise

    found: set[str] = set()
    for pattern in PATTERNS:
        for path in sorted(unpacked.glob(pattern)):
            if path.is_symlink() or path.stat().st_size > MOST_BYTES:
                continue
            tree = LexborHTMLParser(path.read_text("utf-8", errors="replace"))
            found.update(normalise(node.text()).replace("\n", "") for node in tree.css("p"))
    return sorted(text for text in found if 30 <= len(text) <= 400)


def documents(unpacked: Path, count: int) -> list[str]:
    """Documents of real paragraphs, and bad ones."""
    from tests.cleanse.bad_pages import bad_pages

    chance = random.Random(1)
    pool = paragraphs(unpacked)
    bad = [text for _, text in bad_pages(seed=3, each=max(1, count // 170))][: count // 10]
    made = list(bad)
    while len(made) < count:
        text = ""
        wanted = chance.uniform(0.5, 1.5) * AVERAGE_CHARACTERS
        while len(text) < wanted:
            text += chance.choice(pool) + "\n"
        made.append(text.rstrip("\n"))
    chance.shuffle(made)
    return made


def as_hojichar(patterns: dict[str, str]) -> Any:
    """The same rules as presets are made of, with HojiChar's words."""
    from so8t_core.cleanse import quality_measures as measures
    from so8t_core.cleanse.quality import Bound
    from so8t_core.cleanse.quality_sample import Sample, share
    from so8t_core.cleanse.word_pattern import WordFinder, word_pattern

    finder = WordFinder(patterns["adult"].replace("\\", "").split("|"))
    words = {
        name: word_pattern(re.sub(r"\\(.)", r"\1", word) for word in patterns[name].split("|"))
        for name in ("discrimination", "violence", "ads")
    }
    board = re.compile(patterns["board"])
    cut = re.compile("(?:\\.{3}|…)\n")
    run = re.compile(r"(.)\1{199}", re.S)

    def has(name: str) -> Any:
        return lambda sample: words[name].search(sample.text) is not None

    def repetition(sample: Sample) -> float:
        counts = sample.ngrams.counts(5)
        if not len(counts):
            return 0.0
        most = min(int(len(counts) ** 0.5), int((counts > 1).sum()))
        if not most:
            return 0.0
        counts.partition(len(counts) - most)
        return float(counts[len(counts) - most :].sum() / counts.sum())

    def ellipsis(sample: Sample) -> float:
        return len(cut.findall(sample.text)) / max(sample.text.count("\n"), 1)

    def short_lines(sample: Sample) -> float:
        lines = sample.text.split("\n")
        return share(sum(len(line) <= 10 for line in lines), len(lines))

    return (
        Bound("length", measures.letters, least=200, most=50_000),
        Bound("kana", measures.kana_at_start, least=1),
        Bound("stops", measures.characters_a_full_stop, most=100),
        Bound("adult", lambda sample: finder.found_in(sample.text), most=0),
        Bound("discrimination", has("discrimination"), most=0),
        Bound("violence", has("violence"), most=0),
        Bound("ads", lambda sample: len(words["ads"].findall(sample.text)), most=14),
        Bound("board", lambda sample: len(board.findall(sample.text)), most=14),
        Bound(
            "ellipsis", lambda s: len(cut.findall(s.text)) / max(s.text.count("\n"), 1), most=0.7
        ),
        Bound("short_lines", short_lines, most=0.5),
        Bound("one_letter", lambda sample: run.search(sample.text) is not None, most=0),
        Bound("repetition", repetition, most=0.33 - 1e-12),  # 0.33 itself goes
    )


def fineweb2_thresholds() -> dict[str, Any]:
    """The thresholds of our preset, for datatrove's filters."""
    from so8t_core.cleanse.quality import PRESETS

    bounds = {bound.reason: bound for bound in PRESETS["fineweb2"]}
    sized = {
        name: [[n, bounds[f"{name}_{n}"].most] for n in sizes]
        for name, sizes in (("top_ngram", range(2, 5)), ("repeated_ngrams", range(5, 11)))
    }
    return {
        "lines": bounds["repeated_lines"].most,
        "top": sized["top_ngram"],
        "repeated": sized["repeated_ngrams"],
        "ends": bounds["no_line_ends"].least,
        "breaks": bounds["many_line_breaks"].most,
        "letters": bounds["few_letters"].least,
    }


def ask_peer(venv: Path, name: str, texts: list[str], extra: dict[str, Any]) -> dict[str, Any]:
    """Run this file in a peer's environment."""
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        request.write_text(json.dumps({"texts": texts, **extra}))
        command = [
            str(venv / "bin" / "python"),
            __file__,
            "--peer",
            name,
            str(request),
            str(answer),
        ]
        subprocess.run(command, check=True)
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def compared(ours: list[str | None], theirs: list[str | None], rates: tuple[float, float]) -> Any:
    """Rates and where the decisions differ."""
    kept = Counter((mine is None, other is None) for mine, other in zip(ours, theirs, strict=True))
    differing = Counter(
        f"ours {mine or 'keep'}, theirs {other or 'keep'}"
        for mine, other in zip(ours, theirs, strict=True)
        if (mine is None) != (other is None)
    )
    return {
        "documents": len(ours),
        "ours_per_core_s": rates[0],
        "theirs_per_core_s": rates[1],
        "times_as_fast": rates[0] / rates[1],
        "equal_decisions": kept[True, True] + kept[False, False],
        "kept_by_both": kept[True, True],
        "differences": dict(differing),
    }


def main() -> None:
    """Print all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpacked", type=Path)
    parser.add_argument("--hojichar", type=Path)
    parser.add_argument("--datatrove", type=Path)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--datatrove-documents", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--peer", nargs=3)
    arguments = parser.parse_args()
    if arguments.peer:
        name, request, answer = arguments.peer
        given = json.loads(Path(request).read_text())
        run = peer_hojichar if name == "hojichar" else peer_datatrove
        Path(answer).write_text(json.dumps(run(**given)))
        return
    sys.path.insert(0, str(ROOT))
    from so8t_core.cleanse.quality import PRESETS, reject

    texts = documents(arguments.unpacked, arguments.documents)
    figures: dict[str, Any] = {
        "documents": len(texts),
        "characters_on_average": sum(map(len, texts)) / len(texts),
    }
    theirs = ask_peer(arguments.hojichar, "hojichar", texts, {})
    preset = as_hojichar(theirs["patterns"])
    ours, rate = timed(lambda text: reject(text, preset), texts)
    figures["hojichar"] = compared(ours, theirs["decisions"], (rate, theirs["per_s"]))
    some = texts[: arguments.datatrove_documents]
    theirs = ask_peer(arguments.datatrove, "datatrove", some, {"thresholds": fineweb2_thresholds()})
    ours, rate = timed(lambda text: reject(text, PRESETS["fineweb2"]), some)
    figures["datatrove"] = compared(ours, theirs["decisions"], (rate, theirs["per_s"]))
    _, figures["so8t_per_core_s"] = timed(lambda text: reject(text, PRESETS["so8t"]), texts)
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
