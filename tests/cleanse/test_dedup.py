import itertools
import random

import numpy as np

from so8t_core.cleanse.dedup import (
    Clusters,
    exact_key,
    jaccard,
    near_duplicates,
    read_signatures,
    shingles,
    sign,
)
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
        signatures, BANDS, threshold, lambda place: shingles(texts[place]), lambda: None
    )
    return [found.find(place) for place in range(len(texts))]


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
