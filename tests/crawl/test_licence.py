import pytest

from so8t_core.contract.settings.crawl_policy import LicenceSettings
from so8t_core.crawl.licence import Mark, decide, identify, judge, quoted


@pytest.mark.parametrize(
    ("value", "licence", "decision"),
    [
        ("https://creativecommons.org/licenses/by/4.0/deed.ja", "CC-BY-4.0", "allow"),
        ("http://creativecommons.org/licenses/by-sa/2.1/jp/", "CC-BY-SA-2.1-JP", "allow"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0", "allow-noncommercial"),
        ("//creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0", "deny"),
        ("https://creativecommons.org/licenses/by-nd/3.0/", "CC-BY-ND-3.0", "deny"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "allow"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0", "allow"),
        ("この文書は CC BY 4.0 で提供", "CC-BY-4.0", "allow"),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "GFDL-1.3", "allow"),
        ("政府標準利用規約（第2.0版）", "JGSL-2.0", "allow"),
        ("https://example.org/terms", "other", "unknown"),
    ],
)
def test_marks_are_identified_and_decided(value: str, licence: str, decision: str) -> None:
    assert identify(value) == licence
    assert licence == "other" or identify(quoted(f"灯台太郎、{value}、灯台花子")) == licence
    assert decide(licence, LicenceSettings()) == decision


def test_of_several_marks_the_strictest_counts_with_its_evidence() -> None:
    found = judge(
        [
            Mark("meta", "CC BY 4.0"),
            Mark("link", "https://creativecommons.org/licenses/by-nd/4.0/"),
        ],
        LicenceSettings(),
    )
    assert (found.id, found.decision) == ("CC-BY-ND-4.0", "deny")
    assert found.evidence.startswith("link: https://")


def test_no_mark_means_unknown() -> None:
    assert judge([], LicenceSettings()).decision == "unknown"


@pytest.mark.parametrize(
    "words",
    [
        "© 灯台新聞 All Rights Reserved. 無断転載を禁じます。",
        "Copyright © 灯台. 無断複写・転載を禁じます。",
        "当サイトの記事・写真の無断転載を固くお断りします",
        "無断での複製・転用はご遠慮ください",
        "転載禁止",
        "本書の全部または一部の複製を禁ずる",
        "許可なく転載・複製することを禁じます",
        "禁無断転載",
        "不許複製",
    ],
)
def test_words_that_forbid_copying_refuse_a_page_without_a_licence(words: str) -> None:
    found = judge([Mark("footer", words)], LicenceSettings())
    assert (found.id, found.decision) == ("reproduction-prohibited", "deny")
    assert identify(quoted(words)) == found.id
    assert found.evidence.removeprefix("footer: ") in words
    assert "灯台" not in found.evidence, "who forbids it is not on record"


@pytest.mark.parametrize(
    "words",
    [
        "転載自由（改変禁止）",
        "無断転載を禁止していません",
        "複製を禁止するものではありません",
        "無断転載可",
        "転載歓迎",
        "お問い合わせはこちら",
    ],
)
def test_words_that_forbid_nothing_are_no_prohibition(words: str) -> None:
    assert identify(words) == "other"


def test_all_rights_reserved_alone_stays_unknown_and_is_on_record() -> None:
    found = judge([Mark("footer", "© 2024 Example Inc. All rights reserved.")], LicenceSettings())
    assert (found.id, found.decision) == ("all-rights-reserved", "unknown")
    assert "All rights reserved" in found.evidence


def test_an_open_licence_counts_more_than_words_and_a_mark_of_no_known_licence_less() -> None:
    words = Mark("footer", "無断転載を禁じます。")
    licence = Mark("rel-license", "https://creativecommons.org/licenses/by/4.0/")
    assert judge([words, licence], LicenceSettings()).id == "CC-BY-4.0"
    terms = Mark("rel-license", "https://example.org/terms")
    assert judge([terms, words], LicenceSettings()).decision == "deny"
