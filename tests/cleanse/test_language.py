import pytest

from so8t_core.cleanse.language import language_of

LEAST = 0.10
TEXTS = [
    ("ja", "これは日本語の文です。"),
    ("ja", "ひらがなだけのみじかいぶん"),
    ("ja", "カタカナ・テスト"),
    ("ja", "漢字仮名交じり文の例"),
    ("ja", "apt-get install を実行してください"),
    ("ja", "議事録 第三回 令和六年度予算執行状況報告並びに質疑応答の記録"),
    ("ja", "関東地方整備局 荒川下流河川事務所 流域治水対策 浸水想定区域図 公表のお知らせ"),
    ("zh", "這是中文的文章，內容很短。"),
    ("zh", "这是一个用来测试的中文句子。"),
    ("zh", "今天天气很好，我们去公园散步吧。"),
    ("zh", "我们的公司名称是「ソニー」公司，成立于一九四六年，总部位于东京都港区港南一丁目，主要生产电子产品和游戏机，在全世界拥有大量的客户和合作伙伴。"),
    ("zh", "東京都立図書館"),  # ideographs alone say nothing about Japanese
    ("ko", "이것은 한국어 문장입니다."),
    ("ko", "서울의 날씨는 맑고 바람이 조금 붑니다. カフェ"),
    ("en", "This is a short English sentence."),
    ("en", "The word かな is the name of the Japanese syllabary, which this long English page explains "
           "in a few paragraphs for readers who do not know it at all."),
    ("de", "Der Zug fährt um sieben Uhr vom Hauptbahnhof ab und kommt gegen Mittag an."),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "text"), TEXTS, ids=range(len(TEXTS)))
def test_short_texts_are_told_apart(expected, text):
    assert language_of(text, LEAST) == expected


def test_enough_kana_need_no_classifier(monkeypatch):
    monkeypatch.setattr("so8t_core.cleanse.language._classifier", None)
    assert language_of("かなのあるぶんしょう", LEAST) == "ja"


@pytest.mark.parametrize("text", ["", "12345", "…… ――", "\x00", "😀😀"])
def test_a_text_without_letters_is_not_japanese(text):
    assert language_of(text, LEAST) != "ja"


def test_a_japanese_page_of_few_kana_is_kept_by_the_classifier():
    """Its kana are below the border, and the classifier decides."""
    text = "議事録 第三回 令和六年度予算執行状況報告並びに質疑応答の記録"
    assert language_of(text, 0.5) == "ja"
