import json

import pytest

from so8t_core.cleanse.extract import extract
from so8t_core.cleanse.instruct import cut_at_paragraph, lead_pair, without_repeats
from so8t_core.contract.settings.cleanse import CleanseSettings
from tests.cleanse.samples import page, prose

SETTINGS = CleanseSettings()
URL = "http://www.example/a"
QUESTION = "この庭はいつ開いていますか。"
ANSWER = "庭は春から秋まで、毎日朝九時から夕方五時まで開いています。"


def pairs_of(html):
    extracted = extract(html, URL, SETTINGS)
    assert extracted is not None
    return {(pair.rule, pair.instruction): pair.output for pair in extracted.pairs}


def json_ld(value):
    return f"<script type='application/ld+json'>{json.dumps(value, ensure_ascii=False)}</script>"


def entity(question=QUESTION, answer=ANSWER):
    return {
        "@type": "Question",
        "name": question,
        "acceptedAnswer": {"@type": "Answer", "text": answer},
    }


def test_the_body_is_read_without_navigation_and_footer():
    extracted = extract(page("庭の話", prose(1)), URL, SETTINGS)
    assert extracted is not None
    assert prose(1).split("\n")[0] in extracted.text
    assert "このサイトについて" not in extracted.text
    assert extracted.title == "庭の話"


def test_the_site_name_is_dropped_from_the_title_when_the_heading_repeats_the_rest():
    html = page("庭の話", prose(1)).replace("<title>庭の話", "<title>庭の話 - ことはの町")
    extracted = extract(html, URL, SETTINGS)
    assert extracted is not None
    assert extracted.title == "庭の話"


@pytest.mark.parametrize(
    "value",
    [
        {"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": [entity()]},
        {"@graph": [{"@type": ["WebPage", "FAQPage"], "mainEntity": entity()}]},
        [{"@type": "FAQPage", "mainEntity": [entity(answer=f"<p>{ANSWER}</p>")]}],
    ],
)
def test_faq_json_ld_gives_pairs_wherever_it_stands(value):
    found = pairs_of(page("問い", prose(1), head=json_ld(value)))
    assert found == {("faq_json_ld", QUESTION): ANSWER}


def test_a_qa_page_gives_its_accepted_answer_alone():
    question = {
        "@type": "Question",
        "name": QUESTION,
        "suggestedAnswer": {"@type": "Answer", "text": "たぶん夏の間だけではないかと思います。"},
    }
    value = {"@type": "QAPage", "mainEntity": question}
    assert pairs_of(page("問い", prose(1), head=json_ld(value))) == {}
    value = {"@type": "QAPage", "mainEntity": question | entity()}
    found = pairs_of(page("問い", prose(1), head=json_ld(value)))
    assert found == {("qa_json_ld", QUESTION): ANSWER}


def test_how_to_steps_are_numbered():
    value = {
        "@type": "HowTo",
        "name": "緑茶をいれる",
        "step": [
            {"@type": "HowToStep", "text": "湯を沸かして冷まします。"},
            "茶葉に注いで待ちます。",
        ],
    }
    found = pairs_of(page("お茶", prose(1), head=json_ld(value)))
    output = "1. 湯を沸かして冷まします。\n2. 茶葉に注いで待ちます。"
    assert found == {("how_to_json_ld", "緑茶をいれるの手順を教えてください。"): output}


def test_microdata_questions_are_read():
    more = (
        "<div itemscope itemtype='https://schema.org/FAQPage'><div itemscope itemprop='mainEntity'"
        f" itemtype='https://schema.org/Question'><b itemprop='name'>{QUESTION}</b>"
        "<div itemscope itemprop='acceptedAnswer' itemtype='https://schema.org/Answer'>"
        f"<p itemprop='text'>{ANSWER}</p></div></div></div>"
    )
    assert pairs_of(page("問い", prose(1), more=more)) == {("question_microdata", QUESTION): ANSWER}


def test_definition_lists_tell_questions_from_terms():
    more = (
        f"<dl><dt>Q1. {QUESTION}</dt><dd>A. {ANSWER}</dd>"
        "<dt>水車</dt><dd>水の流れを受けて回り、</dd><dd>その力で臼などを動かす仕掛けのこと。</dd></dl>"
    )
    assert pairs_of(page("表", prose(1), more=more)) == {
        ("question_list", QUESTION): ANSWER,
        ("definition_list", "「水車」とは何ですか。"): (
            "水の流れを受けて回り、\nその力で臼などを動かす仕掛けのこと。"
        ),
    }


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_heading_that_asks_is_answered_by_the_text_up_to_the_next(wrapped):
    heading = f"<h2>{QUESTION}</h2>"
    if wrapped:
        heading = f"<div class='head'>{heading}</div>"
    more = f"{heading}<p>{ANSWER}</p><ul><li>入口は南</li></ul><h2>交通</h2><p>駅から歩きます。</p>"
    found = pairs_of(page("案内", prose(1), more=more))
    assert found == {("question_heading", QUESTION): f"{ANSWER}\n入口は南"}


def test_the_first_rule_wins_where_a_page_says_the_same_twice():
    value = {"@type": "FAQPage", "mainEntity": [entity()]}
    more = f"<h2>{QUESTION}</h2><p>{ANSWER}</p>"
    found = pairs_of(page("問い", prose(1), head=json_ld(value), more=more))
    assert list(found) == [("faq_json_ld", QUESTION)]


def test_broken_json_ld_is_counted_and_the_rest_is_read():
    head = "<script type='application/ld+json'>{broken</script>" + json_ld(
        {"@type": "FAQPage", "mainEntity": [entity()]}
    )
    extracted = extract(page("問い", prose(1), head=head), URL, SETTINGS)
    assert extracted is not None
    assert extracted.broken_json_ld == 1
    assert len(extracted.pairs) == 1


@pytest.mark.parametrize(
    "html",
    [
        "",
        " ",
        "<html></html>",
        "ただの文字",
        "<div>" * 100_000,
        "<p>" + "<b>" * 5000 + "文",
        "\x00\x01",
    ],
)
def test_what_is_no_page_gives_no_text_or_little_and_never_an_error(html):
    extracted = extract(html, URL, SETTINGS)
    assert extracted is None or len(extracted.text) < 100


def test_short_answers_are_no_pairs_and_long_ones_are_cut_at_a_paragraph():
    value = {"@type": "FAQPage", "mainEntity": [entity(answer="はい。")]}
    assert pairs_of(page("問い", prose(1), head=json_ld(value))) == {}
    value = {"@type": "FAQPage", "mainEntity": [entity(answer=prose(2, 40).replace("\n", "<br>"))]}
    [output] = pairs_of(page("問い", prose(1), head=json_ld(value))).values()
    assert len(output) <= SETTINGS.max_output_characters
    assert prose(2, 40).startswith(output)
    assert output.endswith("。")


def test_title_and_lead_ask_for_the_rest_of_the_body():
    text = prose(3)
    pair = lead_pair(URL, "庭の話", text, SETTINGS)
    assert pair is not None
    assert "庭の話" in pair.instruction
    assert f"{pair.input}\n{pair.output}" == text
    assert lead_pair(URL, "", text, SETTINGS) is None
    assert lead_pair(URL, "庭の話", text.split("\n")[0], SETTINGS) is None


def test_two_pairs_with_one_answer_become_one():
    extracted = extract(
        page(
            "問い",
            prose(1),
            head=json_ld(
                {"@type": "FAQPage", "mainEntity": [entity(), entity("何時に開きますか。")]}
            ),
        ),
        URL,
        SETTINGS,
    )
    assert extracted is not None
    kept, drops = without_repeats(extracted.pairs, URL)
    assert [pair.instruction for pair in kept] == [QUESTION]
    assert [drop.reason for drop in drops] == ["same_answer"]


def test_a_cut_never_exceeds_the_limit():
    for limit in (1, 10, 50, 5000):
        assert len(cut_at_paragraph(prose(1), limit)) <= limit


def body_of(html):
    extracted = extract(html, URL, SETTINGS)
    assert extracted is not None
    return extracted.text


def test_headings_lists_and_tables_are_marked():
    more = (
        "<h2>料金</h2><table><tr><th>人<th>円</tr><tr><td>大人<td>500</table>"
        "<h3>道</h3><ul><li>駅から北へ<ul><li>橋を渡る</ul><li>バス</ul><ol><li>申し込む<li>待つ</ol>"
    )
    text = body_of(page("庭の話", prose(1), more=more))
    for line in (
        "# 庭の話",
        "## 料金",
        "| 人 | 円 |",
        "| 大人 | 500 |",
        "### 道",
        "- 橋を渡る",
        "1. 申し込む",
    ):
        assert line in text.split("\n")


@pytest.mark.parametrize(
    "other",
    [
        "<div class='global-nav'>{}</div>",
        "<div id='breadcrumbs'>{}</div>",
        "<div role='navigation'>{}</div>",
        "<footer>{}</footer>",
        "<aside class='sidebar-right'>{}</aside>",
        "<form>{}</form>",
    ],
)
def test_what_says_that_it_is_no_body_goes(other):
    text = body_of(page("庭の話", prose(1), more=other.format("枠の中の文です。")))
    assert "枠の中の文" not in text
    assert prose(1).split("\n")[0] in text


@pytest.mark.parametrize(
    "name", ["navigator", "category", "thread", "headline", "footnotes", "main"]
)
def test_names_that_only_resemble_navigation_stay(name):
    text = body_of(page("庭の話", prose(1), more=f"<div class='{name}'>枠の中の文です。</div>"))
    assert "枠の中の文" in text


def test_lists_of_links_go_and_lists_with_a_link_stay():
    links = "".join(f"<li><a href='/{number}'>記事その{number}</a></li>" for number in range(9))
    kept = "<ul><li><a href='/a'>庭</a>は春から秋まで開いています。</li></ul>"
    text = body_of(page("庭の話", prose(1), more=f"<ul>{links}</ul>{kept}"))
    assert "記事その" not in text
    assert "- 庭は春から秋まで開いています。" in text


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (json_ld({"@type": "Article", "datePublished": "2024-05-06T07:08:09+09:00"}), "2024-05-06"),
        ("<meta property='article:published_time' content='2023-01-02'>", "2023-01-02"),
        (
            "<meta name='Date' content='2023-13-45'><meta name='DC.date' content='2022-02-03'>",
            "2022-02-03",
        ),
        ("<meta name='date' content='昨日'>", ""),
        ("", ""),
    ],
)
def test_the_day_that_a_page_names_is_read(head, expected):
    extracted = extract(page("庭の話", prose(1), head=head), URL, SETTINGS)
    assert extracted is not None
    assert extracted.date == expected


@pytest.mark.parametrize(
    ("named", "expected"),
    [("ja", "ja"), ("JA_JP", "ja-jp"), ("", ""), ("<b>", ""), ("日本語", ""), ("x" * 90, "")],
)
def test_the_language_that_a_page_names_is_read(named, expected):
    html = f"<html lang='{named}'><body><p>{prose(1)}</p></body></html>"
    extracted = extract(html, URL, SETTINGS)
    assert extracted is not None
    assert extracted.language == expected


def test_nesting_beyond_all_pages_gives_no_text_and_unclosed_lists_do():
    assert extract("<div>" * 100_000 + prose(1), URL, SETTINGS) is None
    assert prose(1).split("\n")[0] in body_of("<ul>" + f"<li>{prose(1)}<p>" * 3000)


def test_readings_above_letters_do_not_tear_names_apart():
    ruby = "<p><ruby>山田<rp>（</rp><rt>やまだ</rt><rp>）</rp></ruby>太郎の話です。</p>"
    assert "山田太郎の話です。" in body_of(page("庭の話", prose(1), more=ruby))
