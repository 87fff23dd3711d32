import random

import pytest
import sudachipy

from so8t_core.cleanse.quality import FINEWEB2
from so8t_core.cleanse.quality_sample import Sample
from so8t_core.cleanse.words import word_pieces
from tests.cleanse.bad_pages import bad_pages
from tests.cleanse.samples import prose

TRICKY = (
    "",
    "。",
    "。。。。\n\n。",
    "\n" * 300,
    "あ" * 500,
    "モーニング娘。が歌う。モーニング娘。の歌。" * 12,
    "それは「終わり。」と言った。（終わり。）次の文。" * 12,
    "New York のNew York 。New York\nNew York のfree software を使う。" * 12,
    "100。200。3.14。A。B.C。1,000。" * 20,
    "改行\n\n\nだらけ\n。の\n文。\n" * 20,
    "。、。，。．" * 80,
)


def varied(seed, sentences):
    """Sentences whose words are drawn anew."""
    random_ = random.Random(seed)

    def word():
        return "".join(chr(random_.randrange(0x4E00, 0x9000)) for _ in range(random_.randint(1, 2)))

    made = []
    for _ in range(sentences):
        verb = word() + random_.choice(["した", "する", "します", "った"])
        made.append(f"{word()}{random_.choice('はがも')}{word()}の{word()}を{verb}。")
    return "".join(made)


def texts():
    random_ = random.Random(8)
    found = [*TRICKY, *(text for _, text in bad_pages(seed=5, each=2))]
    found += [varied(seed, 20 + seed) for seed in range(22)]
    for seed in range(8):
        sentences = prose(seed, 5).split("。")
        random_.shuffle(sentences)
        text = "。".join(sentences)
        found += [text, text + "\n" + text[: random_.randrange(1, len(text))]]
    return found


def test_pieces_have_the_words_of_the_whole():
    analyser = sudachipy.Dictionary(dict="core").tokenizer(mode=sudachipy.SplitMode.A)
    for text in texts():
        whole = (str(word).strip() for word in analyser.tokenize(text))
        pieces = [word for piece in word_pieces(text) for word in piece]
        assert pieces == list(filter(None, whole))


def test_what_is_certain_of_a_rule_is_true_of_its_measure():
    certain = {bound.reason: 0 for bound in FINEWEB2 if bound.surely}
    for text in texts():
        for bound in FINEWEB2:
            sample = Sample(text)
            limit = bound.least if bound.most == float("inf") else bound.most
            if bound.surely is not None and bound.surely(sample, limit):
                certain[bound.reason] += 1
                assert bound.least <= bound.measure(sample) <= bound.most, (bound.reason, text)
    assert all(count >= 20 for count in certain.values()), certain


def test_good_prose_is_settled_before_all_of_it_is_read():
    samples = [Sample(varied(seed, 40)) for seed in range(12)]
    good = [sample for sample in samples if all(bound.met(sample) for bound in FINEWEB2)]
    assert len(good) >= 6
    read = sum(sample.beginning.words for sample in good)
    assert read < 0.9 * sum(len(sample.words) for sample in good)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_a_limit_just_below_the_measure_is_never_certain(count):
    text = prose(count, 6) + prose(count, 1) * count
    for bound in FINEWEB2:
        measured = bound.measure(Sample(text))
        if bound.surely is not None and bound.most < float("inf") and measured > 0:
            assert not bound.surely(Sample(text), measured * 0.999)
