import pytest

from so8t_core.crawl.charset import codec_name, decode

TEXT = "東京都は、日本の首都である。カタカナとひらがな、漢字を含む文章を書く。"


@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc_jp", "iso2022_jp"])
def test_japanese_without_a_declaration_is_detected(codec: str) -> None:
    found = decode(f"<p>{TEXT}</p>".encode(codec), "text/html")
    assert (found.text, found.charset, found.errors) == (f"<p>{TEXT}</p>", codec, 0)


@pytest.mark.parametrize("label", ["Shift_JIS", "x-sjis", "windows-31j", "MS_Kanji"])
def test_shift_jis_on_the_web_means_windows_31j(label: str) -> None:
    found = decode("①㈱髙～".encode("cp932"), f"text/html; charset={label}")
    assert (found.text, found.charset, found.source) == ("①㈱髙～", "cp932", "header")


def test_a_byte_order_mark_wins_over_everything() -> None:
    found = decode(b"\xef\xbb\xbf" + TEXT.encode(), "text/html; charset=shift_jis")
    assert (found.text, found.source) == (TEXT, "bom")


def test_the_header_wins_over_the_meta_element() -> None:
    body = f'<meta charset="utf-8">{TEXT}'.encode("euc_jp")
    assert decode(body, "text/html; charset=EUC-JP").charset == "euc_jp"


@pytest.mark.parametrize(
    "meta",
    [
        '<meta charset="EUC-JP">',
        '<meta http-equiv="Content-Type" content="text/html; charset=euc-jp">',
        '<?xml version="1.0" encoding="EUC-JP"?>',
    ],
)
def test_the_page_itself_may_name_its_encoding(meta: str) -> None:
    found = decode(f"{meta}<p>字</p>".encode("euc_jp"), "text/html")
    assert (found.charset, found.source, found.errors) == ("euc_jp", "meta", 0)


def test_a_declaration_that_the_bytes_contradict_gives_way() -> None:
    found = decode(TEXT.encode("cp932"), "text/html; charset=utf-8")
    assert (found.text, found.charset) == (TEXT, "cp932")
    assert found.source == "detected against header"


def test_what_no_codec_reads_is_decoded_as_declared_and_its_errors_counted() -> None:
    found = decode(b"\xff\xff<p>" + TEXT.encode(), "text/html; charset=utf-8")
    assert (found.charset, found.errors) == ("utf-8", 2)


def test_a_meta_element_cannot_mean_utf_16_and_unknown_labels_are_ignored() -> None:
    assert decode(b'<meta charset="utf-16">abc', "").charset == "utf-8"
    assert decode(b'<meta charset="klingon">abc', "").source == "detected"
    assert codec_name("base64") is None
    assert codec_name("iso-8859-1") == "cp1252"
