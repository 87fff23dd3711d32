import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from so8t_core.cleanse import border as border_module
from so8t_core.cleanse.border import Border, crossing_groups, settle_border
from so8t_core.cleanse.split import SPLITS, TEST, TRAIN, VALIDATION, Groups, assign
from tests.cleanse.references import jaccard, shingles
from tests.cleanse.samples import prose
from tests.cleanse.test_dedup import edited

PROSE, FLAGGED = range(2)


def groups(*parts):
    """Groups from (count, stratum, pages of each); ids count from 1."""
    strata = [stratum for count, stratum, _ in parts for _ in range(count)]
    pages = [size for count, _, size in parts for _ in range(count)]
    ids = np.arange(1, len(pages) + 1, dtype=np.uint64)
    return Groups(ids, np.array(strata, dtype=np.uint8), np.array(pages))


def nothing():
    pass


def test_shares_are_met_and_the_order_of_the_groups_does_not_matter():
    members = groups((200, PROSE, 1))
    first = assign(members, 42, 0.05, 0.10)
    order = np.random.default_rng(0).permutation(200)
    assert (assign(replace(members, ids=members.ids[order]), 42, 0.05, 0.10) == first[order]).all()
    assert [(first == split).sum() for split in (TRAIN, VALIDATION, TEST)] == [170, 10, 20]


def test_another_seed_gives_another_split():
    members = groups((200, PROSE, 1))
    assert (assign(members, 1, 0.05, 0.05) != assign(members, 2, 0.05, 0.05)).any()


def test_every_stratum_of_three_groups_is_in_every_split():
    found = assign(groups((3, FLAGGED, 1), (40, PROSE, 1)), 42, 0.05, 0.05)
    assert {SPLITS[split] for split in found[:3]} == set(SPLITS)


def test_small_strata_and_shares_of_zero_stay_in_train():
    assert set(assign(groups((2, PROSE, 1)), 42, 0.05, 0.05)) == {TRAIN}
    assert TEST not in assign(groups((100, PROSE, 1)), 42, 0.05, 0.0)


def test_a_group_larger_than_the_held_out_part_stays_in_train():
    found = assign(groups((40, PROSE, 1), (1, PROSE, 60)), 42, 0.05, 0.05)
    assert found[40] == TRAIN


def border_of(tmp_path, texts, splits):
    """A border over texts of one group each."""
    return Border(
        texts=lambda wanted: ((group, text) for group, text in enumerate(texts) if wanted(group)),
        splits=np.array([SPLITS.index(split) for split in splits], dtype=np.uint8),
        names=np.arange(len(texts), dtype=np.uint64),
        threshold=0.8,
        scratch=tmp_path,
    )


@pytest.mark.parametrize("block_records", [1, 2_000_000])
def test_the_border_check_finds_exactly_the_pairs_that_cross(tmp_path, monkeypatch, block_records):
    """Also where only one text fits into a block of the index."""
    monkeypatch.setattr(border_module, "_BLOCK_RECORDS", block_records)
    random_ = random.Random(3)
    texts = []
    for seed in range(60):
        base = prose(seed, 2)
        texts += [base, edited(base, random_.randrange(1, 16), seed)]
    splits = [random_.choice(["train", "train", "validation", "test"]) for _ in texts]
    expected = set()
    for left, right in itertools.combinations(range(len(texts)), 2):
        similar = jaccard(shingles(texts[left]), shingles(texts[right])) >= 0.8
        if similar and splits[left] != splits[right]:
            expected.add(max(at for at in (left, right) if splits[at] != "train"))
    border = border_of(tmp_path, texts, splits)
    assert crossing_groups(border, lambda _: True, nothing) == expected
    assert expected


def test_after_settling_nothing_crosses(tmp_path):
    """The second text moves because of the first, and only then the third because of it."""
    base = prose(1, 3)
    chain = [base, edited(base, 4, 1), edited(edited(base, 4, 1), 4, 2), prose(8)]
    border = border_of(tmp_path, chain, ["train", "validation", "test", "test"])
    assert set(settle_border(border, nothing)) == {1, 2}
    assert [SPLITS[split] for split in border.splits] == ["train", "train", "train", "test"]


def test_a_border_without_texts_is_settled(tmp_path):
    assert settle_border(border_of(tmp_path, [], []), nothing) == ()
