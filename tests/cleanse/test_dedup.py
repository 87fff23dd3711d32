import itertools
import random

import numpy as np

from so8t_core.cleanse.dedup import (
    Clusters,
    bucket_members,
    exact_key,
    near_duplicates,
    read_signatures,
    sign,
)
from so8t_core.cleanse.dedup import jaccard as hashed_jaccard
from so8t_core.cleanse.dedup import shingles as hashed_shingles
from so8t_core.cleanse.items import Items
from so8t_core.cleanse.text_store import TextStore
from tests.cleanse.references import jaccard, shingles
from tests.cleanse.samples import prose

BANDS, ROWS = 32, 4


def edited(text, changes, seed):
    random_ = random.Random(seed)
    letters = list(text)
    for place in random_.sample(range(len(letters)), changes):
        letters[place] = "亜"
    return "".join(letters)


def clusters_of(texts, threshold=0.8):
    signatures = read_signatures(sign(texts, BANDS * ROWS), BANDS * ROWS)
    found = near_duplicates(
        signatures,
        np.arange(len(texts)),
        BANDS,
        threshold,
        lambda place: hashed_shingles(texts[place]),
        lambda: None,
    )
    names = [found.find(place) for place in range(len(texts))]
    assert found.names().tolist() == names
    return names


def test_hashed_shingles_have_the_index_of_the_plain_ones():
    base = prose(3, 3)
    texts = ["", "短い", "あいうえお", base, *(edited(base, changes, 1) for changes in (1, 9, 40))]
    for left, right in itertools.product(texts, repeat=2):
        expected = jaccard(shingles(left), shingles(right))
        assert hashed_jaccard(hashed_shingles(left), hashed_shingles(right)) == expected


def test_buckets_hold_the_members_whose_values_in_a_band_are_equal():
    random_ = np.random.default_rng(2)
    signatures = random_.integers(0, 3, size=(200, 12), dtype=np.uint32)
    members = random_.permutation(200)[:150]
    expected = []
    for band in range(4):
        buckets = {}
        for position, member in enumerate(members):
            values = tuple(signatures[member, band * 3 : band * 3 + 3])
            buckets.setdefault(values, []).append(position)
        expected += [bucket for bucket in buckets.values() if len(bucket) > 1]
    assert list(bucket_members(signatures, members, 4)) == expected


def test_texts_on_disk_come_back_as_they_were(tmp_path):
    texts = ["", "短い文。", "\ud800", "長い" * 1000, "\x00"]
    store = TextStore(tmp_path / "texts.bin")
    for number, text in enumerate(texts):
        assert store.add(text) == number
        assert store[number] == text
    assert [store[number] for number in (3, 0, 4, 1, 2)] == [texts[n] for n in (3, 0, 4, 1, 2)]


def test_equal_texts_are_found_among_the_members_alone(tmp_path):
    texts = ["同じ文。", "別の文", "同じ　文", "同じ文", "第三の文", "別の文！"]
    items = Items(tmp_path, 4)
    for text, signature in zip(texts, sign(texts, 4), strict=True):
        items.add(text, signature)
    everything = [group.tolist() for group in items.equal_ones(np.arange(6))]
    assert sorted(everything) == [[0, 2, 3], [1, 5]]
    some = [group.tolist() for group in items.equal_ones(np.array([1, 2, 3]))]
    assert some == [[1, 2]]
    assert items.equal_ones(np.zeros(0, dtype=np.int64)) == []


def test_signatures_are_the_same_in_every_process():
    assert sign(["こんにちは、世界。"], 4) == sign(["こんにちは　世界"], 4)
    assert sign(["こんにちは、世界。"], 4) == ["b200c0a6352255b316dae2c562c7c15d"]


def test_signatures_estimate_the_jaccard_index():
    texts = [prose(1, 20), edited(prose(1, 20), 40, seed=2)]
    left, right = read_signatures(sign(texts, 512), 512)
    true = jaccard(shingles(texts[0]), shingles(texts[1]))
    assert abs(float(np.mean(left == right)) - true) < 0.08


def test_every_pair_above_the_threshold_is_joined_and_none_below():
    texts = [
        text
        for seed in range(40)
        for text in (prose(seed, 4), edited(prose(seed, 4), 3 + seed % 12, seed))
    ]
    clusters = clusters_of(texts)
    grams = [shingles(text) for text in texts]
    for left, right in itertools.combinations(range(len(texts)), 2):
        similar = jaccard(grams[left], grams[right]) >= 0.8
        assert (clusters[left] == clusters[right]) == similar


def test_a_text_between_two_clusters_connects_them():
    letters = list(prose(20, 4))
    texts = []
    for changes in (0, 25, 50, 75, 100):
        letters[10 : 10 + changes] = "亜" * changes
        texts.append("".join(letters))
    assert jaccard(shingles(texts[0]), shingles(texts[-1])) < 0.9
    neighbours = [
        jaccard(shingles(left), shingles(right)) for left, right in itertools.pairwise(texts)
    ]
    assert min(neighbours) > 0.9
    for order in itertools.islice(itertools.permutations(texts), 0, 120, 11):
        assert clusters_of(list(order), threshold=0.9) == [0] * 5


def test_a_bucket_of_hundreds_is_searched_as_well():
    texts = [edited(prose(7, 3), 1, seed) for seed in range(300)] + [prose(8, 3)]
    assert clusters_of(texts) == [0] * 300 + [300]


def test_a_cluster_is_named_by_its_first_member():
    texts = [prose(9), prose(1), edited(prose(9), 1, 0), prose(9)]
    assert clusters_of(texts) == [0, 1, 0, 0]


def test_no_texts_and_one_text_have_no_duplicates():
    assert clusters_of([]) == []
    assert clusters_of(["短い"]) == [0]


def test_joining_is_transitive_whatever_the_order():
    for order in itertools.permutations([(0, 1), (1, 2), (3, 4)]):
        clusters = Clusters(5)
        for pair in order:
            clusters.join(*pair)
        assert [clusters.find(member) for member in range(5)] == [0, 0, 0, 3, 3]


def test_exact_duplicates_differ_in_form_alone():
    assert exact_key("これは、文。") == exact_key("これは 文")
    assert exact_key("これは文") != exact_key("それは文")
