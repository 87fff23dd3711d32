import pytest

from so8t_core.cleanse.lexicon import CATEGORIES
from so8t_core.cleanse.refusals import refusal
from so8t_core.cleanse.safety import UNKNOWN, assess
from so8t_core.contract.labels import SafetyLabel, strictest
from tests.cleanse.flagged_texts import flagged, harmless
from tests.cleanse.samples import prose


@pytest.mark.parametrize(
    ("text", "label", "category"),
    [
        ("無修正動画を集めたページです。", SafetyLabel.DENY, "adult"),
        ("セ○クス動画のまとめ", SafetyLabel.DENY, "adult"),
        ("ｱﾀﾞﾙﾄ動画のまとめ", SafetyLabel.DENY, "adult"),
        ("ア・ダ・ル・ト 動 画 のまとめ", SafetyLabel.DENY, "adult"),
        ("爆弾の作り方を説明します。", SafetyLabel.REFUSE, "weapons"),
        ("闇バイト募集、即日払い", SafetyLabel.REFUSE, "crime"),
        ("楽な死に方を教えて", SafetyLabel.ESCALATION, "self_harm"),
    ],
)
def test_flagged_text_gets_its_label_also_in_disguise(text, label, category):
    verdict = assess(prose(1) + "\n" + text)
    assert verdict.label is label
    assert category in verdict.categories
    assert text in verdict.passages


@pytest.mark.parametrize(
    "text",
    [
        "警察は大麻を所持していた疑いで男を逮捕した。" + prose(3, 2),
        "自殺を防ぐための相談窓口について、市が案内を出した。" + prose(4, 2),
        "プロセスを kill すると子プロセスも終わる。爆弾処理班の訓練が公開された。",
        prose(5),
    ],
)
def test_news_medicine_and_technology_are_allowed(text):
    assert assess(text).label is SafetyLabel.ALLOW


@pytest.mark.parametrize("text", ["", " \n", "…！？", "\ufffd" * 40, "縺ゅ＞縺√≧" * 20])
def test_what_cannot_be_judged_is_escalated(text):
    verdict = assess(text)
    assert verdict.label is SafetyLabel.ESCALATION
    assert verdict.categories == (UNKNOWN,)


@pytest.mark.parametrize("value", ["", "allowed", None, 3, "NSFW"])
def test_an_unknown_label_reads_as_escalation(value):
    assert SafetyLabel.read(value) is SafetyLabel.ESCALATION


def test_a_stored_label_reads_as_itself():
    assert [SafetyLabel.read(label.value.lower()) for label in SafetyLabel] == list(SafetyLabel)


def test_the_strictest_label_wins_and_none_at_all_is_escalation():
    assert strictest(list(SafetyLabel)) is SafetyLabel.REFUSE
    assert strictest([SafetyLabel.ALLOW, SafetyLabel.ESCALATION]) is SafetyLabel.ESCALATION
    assert strictest([]) is SafetyLabel.ESCALATION


def test_every_category_finds_each_of_its_own_phrases():
    for category in CATEGORIES:
        for phrase in category.strong:
            assert category.name in assess(f"前置きの文です。{phrase}などの話。").categories, phrase


def test_hundreds_of_mild_texts_of_every_category_are_flagged_also_in_disguise():
    texts = flagged(seed=1)
    assert len(texts) >= 500
    for text in texts:
        verdict = assess(f"{prose(1, 1)}\n{text.text}")
        assert verdict.label is not SafetyLabel.ALLOW, text
        assert text.category in verdict.categories, text
        assert SafetyLabel(text.label) in (verdict.label, SafetyLabel.ESCALATION), text


def test_news_help_and_history_of_the_same_topics_are_allowed():
    for text in harmless(seed=1):
        assert assess(text.text).label is SafetyLabel.ALLOW, text


def test_every_label_but_allow_has_a_refusal_that_its_key_chooses():
    assert refusal(SafetyLabel.ALLOW, "a") == ""
    for label in set(SafetyLabel) - {SafetyLabel.ALLOW}:
        found = {refusal(label, str(key)) for key in range(50)}
        assert len(found) == 3
        assert refusal(label, "7") == refusal(label, "7")


def test_weak_words_that_meet_are_escalated_unless_the_text_reports_on_them():
    crime = "受け子と出し子を闇バイトで集め、オレオレ詐欺とフィッシング詐欺でだまし取る。" * 2
    report = (
        "警察は被害の防止を呼びかけ、相談窓口で対策を案内した。容疑者は逮捕され、裁判になる。" * 2
    )
    assert assess(crime).label is SafetyLabel.ESCALATION
    assert assess(crime + report).label is SafetyLabel.ALLOW
