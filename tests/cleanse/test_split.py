import itertools
import random

from so8t_core.cleanse.dedup import jaccard, shingles
from so8t_core.cleanse.split import Group, Text, assign, crossing_groups, settle_border
from tests.cleanse.samples import prose
from tests.cleanse.test_dedup import edited


def groups(count, stratum="prose", pages=1):
    return [Group(f"{stratum}{number}", stratum, pages) for number in range(count)]


def nothing():
    pass


def test_shares_are_met_and_the_order_of_the_groups_does_not_matter():
    members = groups(200)
    first = assign(members, 42, 0.05, 0.10)
    random.Random(0).shuffle(members)
    assert assign(members, 42, 0.05, 0.10) == first
    splits = list(first.values())
    assert [splits.count(name) for name in ("train", "validation", "test")] == [170, 10, 20]


def test_another_seed_gives_another_split():
    assert assign(groups(200), 1, 0.05, 0.05) != assign(groups(200), 2, 0.05, 0.05)


def test_every_stratum_of_three_groups_is_in_every_split():
    found = assign(groups(3, "flagged") + groups(40), 42, 0.05, 0.05)
    assert {found[f"flagged{number}"] for number in range(3)} == {"train", "validation", "test"}


def test_small_strata_and_shares_of_zero_stay_in_train():
    assert set(assign(groups(2), 42, 0.05, 0.05).values()) == {"train"}
    assert "test" not in assign(groups(100), 42, 0.05, 0.0).values()


def test_a_group_larger_than_the_held_out_part_stays_in_train():
    found = assign([*groups(40), Group("giant", "prose", 60)], 42, 0.05, 0.05)
    assert found["giant"] == "train"


def test_the_border_check_finds_exactly_the_pairs_that_cross():
    random_ = random.Random(3)
    texts = []
    split_of = {}
    for seed in range(60):
        for number in range(2):
            name = f"{seed}-{number}"
            base = prose(seed, 2)
            texts.append(
                Text(name, edited(base, random_.randrange(1, 16), seed) if number else base)
            )
            split_of[name] = random_.choice(["train", "train", "validation", "test"])
    expected = set()
    for left, right in itertools.combinations(texts, 2):
        crosses = split_of[left.group] != split_of[right.group]
        if crosses and jaccard(shingles(left.text), shingles(right.text)) >= 0.8:
            held = [text.group for text in (left, right) if split_of[text.group] != "train"]
            expected.add(max(held))
    assert crossing_groups(texts, split_of, 0.8, nothing) == expected
    assert expected


def test_after_settling_nothing_crosses():
    base = prose(1, 3)
    chain = [base, edited(base, 4, 1), edited(edited(base, 4, 1), 4, 2)]
    texts = [Text(str(number), text) for number, text in enumerate([*chain, prose(8)])]
    split_of = {"0": "train", "1": "validation", "2": "test", "3": "test"}
    moved = settle_border(texts, split_of, 0.8, nothing)
    assert set(moved) == {"1", "2"}
    assert split_of == {"0": "train", "1": "train", "2": "train", "3": "test"}
