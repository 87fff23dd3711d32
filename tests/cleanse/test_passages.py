from so8t_core.cleanse.passages import PassageIndex, anchors
from tests.cleanse.samples import prose

PASSAGE = prose(900, 4).replace("\n", "")


def test_anchors_depend_on_the_window_alone():
    alone = {value for value, _ in anchors(PASSAGE)}
    within = {value for value, _ in anchors(f"前の文。{PASSAGE}後の文。")}
    assert alone
    assert alone <= within
    assert not alone & {value for value, _ in anchors(prose(901, 4))}
    assert anchors("短い") == anchors("") == []


def test_a_long_passage_stays_on_the_first_page_alone():
    index = PassageIndex(min_characters=300)
    first = f"{prose(1, 2)}\n{PASSAGE}\n{prose(2, 1)}"
    second = f"{prose(3, 2)}\n{PASSAGE}\n{prose(4, 1)}"
    assert index.cut(first) == (first, 0)
    text, cut = index.cut(second)
    assert text == f"{prose(3, 2)}\n{prose(4, 1)}"
    assert cut == len(PASSAGE) + 1


def test_what_is_left_begins_and_ends_with_whole_sentences():
    index = PassageIndex(min_characters=300)
    index.cut(PASSAGE)
    text, cut = index.cut(f"これは、{PASSAGE[3:-8]}別の終わり。")
    assert cut > 0
    assert text.startswith("これは、")
    assert text.endswith("別の終わり。")
    assert all(sentence in f"これは、{PASSAGE[3:-8]}別の終わり。" for sentence in text.split("。"))


def test_a_passage_that_is_shorter_stays():
    index = PassageIndex(min_characters=len(PASSAGE) + 50)
    index.cut(f"{prose(5, 2)}\n{PASSAGE}")
    other = f"{prose(6, 2)}\n{PASSAGE}"
    assert index.cut(other) == (other, 0)
