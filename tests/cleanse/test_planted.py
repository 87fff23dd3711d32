"""Whole runs of the phase on pages in which something was planted, and a search of all they left."""

import html

import pyarrow.parquet as pq
import pytest

from so8t_core.cleanse.text import comparable
from so8t_core.phases import cleanse
from tests.cleanse.crawls import Crawled, context, write_crawl
from tests.cleanse.flagged_texts import flagged
from tests.cleanse.personal_data import positives
from tests.cleanse.samples import page, prose
from tests.cleanse.test_phase import HOST, rows


def everything_left(root, outcome, emit):
    """All texts of all files of the phase, of its events and of its outcome."""
    found = [str(outcome), str(emit.events)]
    for path in sorted((root / "cleanse").rglob("*")):
        if path.suffix == ".parquet":
            found.append(str(pq.read_table(path).to_pylist()))
        elif path.is_file():
            found.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(found)


def planted_and_left(root, cases):
    """The values that are anywhere in what a run left.

    A surname of one ideograph stands in any prose as a word.
    """
    pages = [
        Crawled(
            f"{HOST}/{number:04}", page("連絡先", f"{prose(number, 4)}\n{html.escape(case.text)}")
        )
        for number, case in enumerate(cases)
    ]
    write_crawl(root / "crawl", pages)
    ctx, emit = context(root, boilerplate_min_pages=10**6)
    outcome = cleanse.run(ctx)
    assert outcome.figures["documents_kept"] > 0.9 * len(cases)
    left = comparable(everything_left(root, outcome, emit))
    searched = [case for case in cases if len(comparable(case.value)) > 1]
    assert len(searched) > 0.95 * len(cases)
    return [case for case in searched if comparable(case.value) in left]


def test_no_planted_value_is_in_any_file_or_event(tmp_path):
    assert planted_and_left(tmp_path, positives(seed=9, rounds=1)[::4]) == []


@pytest.mark.long
def test_none_of_hundreds_of_planted_values_is_in_any_file_or_event(tmp_path):
    cases = positives(seed=10, rounds=2)
    assert len(cases) > 400
    assert planted_and_left(tmp_path, cases) == []


def planted_and_kept(tmp_path, texts):
    """The flagged texts that are in the corpus or in an instruction pair after a run."""
    pages = [
        Crawled(f"{HOST}/{number:03}", page("記事", f"{prose(number, 4)}\n{text.text}"))
        for number, text in enumerate(texts)
    ]
    pages += [Crawled(f"{HOST}/good/{n}", page("記事", prose(5000 + n, 4))) for n in range(5)]
    write_crawl(tmp_path / "crawl", pages)
    ctx, _ = context(tmp_path)
    outcome = cleanse.run(ctx)
    generation = [row for name in ("corpus", "instruction") for row in rows(tmp_path, name)]
    assert len(generation) >= 5
    written = comparable(str(generation))
    assert outcome.figures["documents_in"] == len(pages)
    return [text for text in texts if comparable(text.text) in written]


def test_no_planted_unsafe_text_is_in_the_generation_corpus(tmp_path):
    assert planted_and_kept(tmp_path, flagged(seed=1)[::12]) == []


@pytest.mark.long
def test_none_of_all_planted_unsafe_texts_is_in_the_generation_corpus(tmp_path):
    texts = flagged(seed=1)
    assert len(texts) >= 500
    assert planted_and_kept(tmp_path, texts) == []
