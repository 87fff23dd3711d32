import pytest

from so8t_core.crawl.page import clean_title, read_page

URL = "http://e.jp/dir/page"


def test_links_come_from_anchors_areas_frames_and_refreshes() -> None:
    page = read_page(
        '<a href="a">1</a><map><area href="b"></map><iframe src="c"></iframe>'
        '<meta http-equiv="Refresh" content="0; URL=\'d\'"><a name="x">no link</a>',
        URL,
    )
    assert sorted(link.href for link in page.links) == ["a", "b", "c", "d"]


def test_a_links_own_nofollow_is_seen() -> None:
    page = read_page('<a rel="noopener NoFollow" href="a">1</a><a href="b">2</a>', URL)
    assert [(link.href, link.nofollow) for link in page.links] == [("a", True), ("b", False)]


def test_the_first_base_element_counts_and_a_bad_one_does_not() -> None:
    assert read_page('<base href="/x/"><base href="/y/">', URL).base == "http://e.jp/x/"
    assert read_page('<base href="javascript:1">', URL).base == URL


def test_the_canonical_url_is_resolved() -> None:
    assert read_page('<link rel="canonical" href="./other#x">', URL).canonical == (
        "http://e.jp/dir/other"
    )
    assert read_page("<p>", URL).canonical is None


def test_titles_lose_control_and_bidi_characters_and_addresses() -> None:
    assert clean_title(" a\u202eb\x1b[31m\n c  taro@example.jp ") == "ab[31m c [e-mail]"


def test_licence_marks_are_found_where_they_stand() -> None:
    page = read_page(
        '<link rel="license" href="https://creativecommons.org/licenses/by/4.0/">'
        '<script type="application/ld+json">{"@graph": [{"license": '
        '{"@id": "https://creativecommons.org/publicdomain/zero/1.0/"}}]}</script>'
        '<script type="application/ld+json">{broken</script>'
        '<meta name="DC.rights" content="CC BY-SA 4.0">'
        '<a href="http://creativecommons.org/licenses/by-nc/2.1/jp/">x</a>'
        '<span property="cc:license" content="https://e.org/own"></span>'
        "<footer>© 2024 公共データ利用規約（第1.0版）</footer><footer>All rights</footer>",
        URL,
    )
    assert [mark.kind for mark in page.marks] == [
        "rel-license",
        "json-ld",
        "rdfa",
        "meta",
        "link",
        "footer",
    ]


def test_words_on_copying_are_found_at_the_end_of_a_long_footer_and_quoted() -> None:
    menu = "<li>お知らせ</li>" * 2000
    page = read_page(f"<footer>{menu}<p>© 灯台 無断転載を禁じます。</p></footer>", URL)
    (mark,) = page.marks
    assert mark.kind == "footer"
    assert mark.value == "無断転載を禁じ"
    assert len(mark.value) < 160


def test_words_on_copying_stand_in_metas_and_copyright_elements_not_in_links_or_prose() -> None:
    words = "無断転載を禁じます"
    assert read_page(f'<meta name="copyright" content="{words}">', URL).marks
    assert read_page(f'<p class="site-copyright">{words}</p>', URL).marks
    assert not read_page(f'<p>「{words}」とある。<a href="/{words}">札</a></p>', URL).marks


@pytest.mark.parametrize(
    "personal",
    [
        *(
            "03(1234)5678",
            "(03)1234-5678",
            "0312345678",
            "03 - 1234 - 5678",
            "０３（１２３４）５６７８",
        ),
        *(
            "+81-(0)3-1234-5678",
            "4111111111111111",
            "taro（アット）example.jp",
            "taro(at)example.jp",
        ),
    ],
)
def test_titles_hold_nothing_personal_however_it_is_written(personal: str) -> None:
    shown = clean_title(f"連絡先 {personal} まで")
    assert "[" in shown
    assert not any(part in shown for part in ("1234", "１２３４", "1111", "example"))


def test_titles_keep_numbers_that_are_no_persons() -> None:
    title = "平成28年 第3回 2026-11-28 ISBN 978-4-00-310101-8 1,234,567円 Python 3.11.9"
    assert clean_title(title) == title
