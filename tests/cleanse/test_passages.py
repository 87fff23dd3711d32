from so8t_core.cleanse.passages import PassageIndex, anchors, cut
from tests.cleanse.samples import prose

PASSAGE = prose(900, 4).replace("\n", "")


def cut_all(folder, texts, min_characters=300):
    """Each text without the passages of earlier ones, and how many characters went."""
    index = PassageIndex(folder)
    for number, text in enumerate(texts):
        index.add(number, text)
    found = [(text, 0) for text in texts]
    for number, shared in index.shared():
        found[number] = cut(texts[number], shared, texts.__getitem__, min_characters)
    return found


def test_anchors_depend_on_the_window_alone():
    alone = set(anchors(PASSAGE)[0].tolist())
    within = set(anchors(f"前の文。{PASSAGE}後の文。")[0].tolist())
    assert alone
    assert alone <= within
    assert not alone & set(anchors(prose(901, 4))[0].tolist())
    assert all(not len(anchors(text)[0]) for text in ("短い", ""))


def test_a_long_passage_stays_on_the_first_page_alone(tmp_path):
    texts = [f"{prose(1, 2)}\n{PASSAGE}\n{prose(2, 1)}", f"{prose(3, 2)}\n{PASSAGE}\n{prose(4, 1)}"]
    shorter = f"{prose(3, 2)}\n{prose(4, 1)}"
    assert cut_all(tmp_path, texts) == [(texts[0], 0), (shorter, len(PASSAGE) + 1)]


def test_of_many_texts_each_loses_what_the_first_one_has(tmp_path):
    texts = [f"{prose(10 + seed, 2)}\n{PASSAGE}" for seed in range(70)]
    found = cut_all(tmp_path, texts)
    assert found[0] == (texts[0], 0)
    assert [text for text, _ in found[1:]] == [prose(10 + seed, 2) for seed in range(1, 70)]


def test_a_text_that_repeats_itself_keeps_its_passages(tmp_path):
    texts = [f"{PASSAGE}\n{prose(1, 1)}\n{PASSAGE}", prose(2, 2)]
    assert cut_all(tmp_path, texts) == [(text, 0) for text in texts]


def test_what_is_left_begins_and_ends_with_whole_sentences(tmp_path):
    second = f"これは、{PASSAGE[3:-8]}別の終わり。"
    text, characters = cut_all(tmp_path, [PASSAGE, second])[1]
    assert characters > 0
    assert text.startswith("これは、")
    assert text.endswith("別の終わり。")
    assert all(sentence in second for sentence in text.split("。"))


def test_a_passage_that_is_shorter_stays(tmp_path):
    texts = [f"{prose(5, 2)}\n{PASSAGE}", f"{prose(6, 2)}\n{PASSAGE}"]
    found = cut_all(tmp_path, texts, min_characters=len(PASSAGE) + 50)
    assert found == [(text, 0) for text in texts]
