from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from so8t_core.contract.errors import DataError, ModelError
from so8t_core.training.dataset import (
    IGNORED,
    PaddingCollator,
    RunOrder,
    SampleSet,
    chosen,
    encode_sources,
)
from so8t_core.training.encoding import Encoded, Encoder
from so8t_core.training.formats import Conversation, Document, Message
from so8t_core.training.sources import Source


def test_the_order_of_a_run_goes_through_all_samples_before_any_comes_again() -> None:
    order = list(RunOrder(10, 25, seed=3))
    assert len(order) == 25
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]
    assert order == list(RunOrder(10, 25, seed=3)) != list(RunOrder(10, 25, seed=4))


def test_a_longer_run_begins_with_the_order_of_a_shorter_one() -> None:
    assert list(RunOrder(7, 40, seed=1))[:20] == list(RunOrder(7, 20, seed=1))


def test_fractions_repeat_and_sample_the_same_part_every_time() -> None:
    assert (
        Counter(chosen(4, 2.5, 0, "corpus")).most_common()
        == Counter(chosen(4, 2.5, 0, "corpus")).most_common()
    )
    assert sorted(Counter(chosen(4, 2.5, 0, "corpus")).values()) == [2, 2, 3, 3]
    assert chosen(4, 0.0, 0, "corpus") == []
    assert len(chosen(100, 0.3, 0, "corpus")) == 30
    assert chosen(100, 0.3, 0, "corpus") != chosen(100, 0.3, 1, "corpus")


def test_batches_are_padded_on_the_right_and_padding_is_never_learnt() -> None:
    batch = PaddingCollator(pad_id=9)(
        [Encoded([1, 2, 3], [False, True, True]), Encoded([4], [True])]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 2, 3], [IGNORED, IGNORED, IGNORED]]
    assert batch["tokens"] == 4
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_a_sample_set_gives_back_what_it_was_given_and_its_digest_tells_sets_apart() -> None:
    one = SampleSet([Encoded([1, 2], [True, False]), Encoded([3], [True])])
    other = SampleSet([Encoded([1, 2], [True, True]), Encoded([3], [True])])
    assert (len(one), one[0], one[1]) == (2, Encoded([1, 2], [True, False]), Encoded([3], [True]))
    assert one.digest() != other.digest()


def test_tokens_are_counted_by_source_and_nothing_left_is_an_error(tokenizer: Any) -> None:
    encoder = Encoder(tokenizer, "template", 100, "cut")
    sources = [
        Source("corpus", (Document("東京"), Document("電車")), {}),
        Source("safety", (Document("検査"),), {}),
    ]
    samples, shares = encode_sources(sources, {"safety": 0.0}, encoder, 0, lambda: None)
    assert (len(samples), shares["corpus"].samples, shares["safety"].samples) == (2, 2, 0)
    assert shares["corpus"].tokens == len(samples.ids)
    assert shares["corpus"].targets == len(samples.ids) - 2
    short = Encoder(tokenizer, "template", 8, "cut")
    lost = Source(
        "file", (Conversation((Message("user", "長い" * 9), Message("assistant", "答"))),), {}
    )
    with pytest.raises(DataError, match="fractions leave none of 1 samples"):
        encode_sources([*sources[1:], lost], {"safety": 0.0}, short, 0, lambda: None)


def test_a_token_that_the_model_does_not_know_is_named() -> None:
    samples = SampleSet([Encoded([1, 511], [True, True]), Encoded([2], [True])])
    samples.require_known_tokens(512)
    with pytest.raises(ModelError, match=r"token 511.*knows 511"):
        samples.require_known_tokens(511)
