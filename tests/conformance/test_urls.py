import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from so8t_core.crawl.url import BadUrl, Linker, canonicalise, host_of, origin_of

DROP = ("utm_*", "fbclid", "phpsessid")


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("HTTP://Example.JP:80/a/../b/./c#f", "http://example.jp/b/c"),
        ("https://e.jp:443", "https://e.jp/"),
        ("https://e.jp:80/", "https://e.jp:80/"),
        ("http://日本語.jp/", "http://xn--wgv71a119e.jp/"),
        ("http://ＥＸＡＭＰＬＥ.jp/", "http://example.jp/"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://e.jp./x", "http://e.jp/x"),
        ("http://my_host.jp/", "http://my_host.jp/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://017700000001/", "http://127.0.0.1/"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("http://[0:0::1]:8080/", "http://[::1]:8080/"),
        ("http://e.jp/%7euser/%e3%81%82", "http://e.jp/~user/%E3%81%82"),
        ("http://e.jp/あ い", "http://e.jp/%E3%81%82%20%E3%81%84"),
        ("http://e.jp/a%2fb", "http://e.jp/a%2Fb"),
        ("http://e.jp/100%", "http://e.jp/100%"),
        ("http://e.jp/a/%2E%2e/b", "http://e.jp/b"),
        ("http://e.jp/../..", "http://e.jp/"),
        ("http://e.jp/a/.", "http://e.jp/a/"),
        ("http:\\\\e.jp\\a\\b?x=\\", "http://e.jp/a/b?x=\\"),
        ("  http://e.jp/a\n\tb ", "http://e.jp/ab"),
        ("http://e.jp/?utm_source=x&a=1&FBCLID=2&b", "http://e.jp/?a=1&b"),
        ("http://e.jp/?PHPSESSID=1", "http://e.jp/"),
        ("http://e.jp/x;jsessionid=A1?y=1", "http://e.jp/x?y=1"),
        ("http://e.jp/?b=2&a=1", "http://e.jp/?b=2&a=1"),
        ("http://e.jp/?q='あ'", "http://e.jp/?q=%27%E3%81%82%27"),
        ("http://e.jp/?", "http://e.jp/"),
        ("http:///e.jp/x", "http://e.jp/x"),
        ("http:/e.jp/x", "http://e.jp/x"),
        ("https:e.jp", "https://e.jp/"),
        ("http:\\\\\\e.jp\\x", "http://e.jp/x"),
        ("http://e。jp。/", "http://e.jp/"),
        ("http://e．jp%E3%80%82/", "http://e.jp/"),
    ],
)
def test_each_url_has_one_spelling(raw: str, canonical: str) -> None:
    assert canonicalise(raw, drop_parameters=DROP) == canonical


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ("mailto:a@e.jp", "url-scheme"),
        ("javascript:void(0)", "url-scheme"),
        ("data:text/html,x", "url-scheme"),
        ("/relative", "url-scheme"),
        ("http://user:word@e.jp/", "url-credentials"),
        ("http://e.jp:99999/", "url-malformed"),
        ("http://e.jp:25/", "url-port"),
        ("https://e.jp:6667/", "url-port"),
        ("http://e.jp:0/", "url-port"),
        ("http://[::1/", "url-malformed"),
        ("http:///", "url-host"),
        ("http://。/", "url-host"),
        ("http://a b.jp/", "url-host"),
        ("http://e..jp/", "url-host"),
        ("http://256.1.1.1/", "url-host"),
        ("http://1.2.3.4.5/", "url-host"),
        (f"http://{'a' * 64}.jp/", "url-host"),
        ("http://e.jp/" + "a" * 2000, "url-length"),
    ],
)
def test_what_is_no_url_of_ours_says_why(raw: str, rule: str) -> None:
    bad = canonicalise(raw)
    assert isinstance(bad, BadUrl)
    assert bad.rule == rule


@pytest.mark.parametrize(
    ("href", "canonical"),
    [
        ("b", "https://e.jp/s/b"),
        ("/b", "https://e.jp/b"),
        ("../b", "https://e.jp/b"),
        ("?q=1", "https://e.jp/s/x?q=1"),
        ("#top", "https://e.jp/s/x?y=1"),
        ("//o.jp/z", "https://o.jp/z"),
        ("///o.jp/z", "https://o.jp/z"),
        ("\\\\/o.jp/z", "https://o.jp/z"),
        ("https:b", "https://e.jp/s/b"),
        ("https:/b", "https://e.jp/b"),
        ("https:", "https://e.jp/s/x?y=1"),
        ("https:?q", "https://e.jp/s/x?q"),
        ("http:/b/c", "http://b/c"),
        ("https:///o.jp/z", "https://o.jp/z"),
    ],
)
def test_a_link_is_relative_to_its_base(href: str, canonical: str) -> None:
    assert canonicalise(href, base="https://e.jp/s/x?y=1") == canonical


def test_a_query_is_encoded_as_its_page_is() -> None:
    assert canonicalise("?q=あ", base="http://e.jp/", query_encoding="cp932") == (
        "http://e.jp/?q=%82%A0"
    )


def test_host_and_origin_of_a_canonical_url() -> None:
    assert host_of("https://e.jp:8443/x:y") == "e.jp"
    assert origin_of("https://e.jp:8443/x") == "https://e.jp:8443"
    assert host_of("http://[::1]:80/") == "[::1]"


@given(st.text(max_size=60), st.sampled_from(("utf-8", "cp932", "euc_jp", "iso2022_jp")))
def test_canonicalising_twice_changes_nothing_and_nothing_crashes(text: str, codec: str) -> None:
    once = canonicalise(text, base="http://e.jp/a/b", query_encoding=codec)
    if isinstance(once, str):
        assert once.isascii()
        assert canonicalise(once) == once


_ODD_HOSTS = st.lists(
    st.sampled_from(
        (
            *("e", "jp", "xn--", "xn--wgv71a119e", "日本", "ß", "İ", "ı", "ẞ", "ς", "Ⅳ", "㍿", "①"),
            *(".", "。", "．", "｡", "-", "_", "%2e", "%E3%80%82", "%ef%bc%8e", "\u200d", "\u00ad"),
            *(
                "0",
                "0x",
                "1",
                "0x1f",
                "256",
                "１",
                "[",
                "]",
                "::1",
                "::ffff:1.2.3.4",
                ":",
                "80",
                "%",
            ),
            *("@", "/", "\\", "?", "#", " ", "\t", "　", "a\u0301", "ﾊﾟ", "ー"),
        )
    ),
    max_size=7,
).map("".join)


@settings(max_examples=400, deadline=None)  # the first one reads the tables of IDNA
@given(st.sampled_from(("http://", "HTTPS:", "http:///", "//", "")), _ODD_HOSTS)
def test_odd_hosts_have_one_spelling_too(start: str, rest: str) -> None:
    once = canonicalise(start + rest, base="http://e.jp/a")
    if isinstance(once, str):
        assert once.isascii()
        assert canonicalise(once) == once
        assert origin_of(once) + "/" == canonicalise(origin_of(once))
        assert host_of(once) in origin_of(once)


_PIECES = st.lists(
    st.sampled_from(
        (
            *("/", "a", "b.html", ".", "..", "?", "&", "=", "#", "q=1", "utm_x=2", "PHPSESSID=3"),
            *(
                "http://e.jp",
                "https://e.jp:443",
                "http://E.jp:81",
                "//o.jp",
                "http://1.2",
                "~",
                "%7e",
            ),
            *("あ", " ", "\n", ";jsessionid=1", "mailto:", "\\", "-_", "x:", "http:", "e.jp"),
        )
    ),
    max_size=7,
).map("".join)


@given(_PIECES, st.sampled_from(("http://e.jp/", "http://e.jp/a/b?c", "https://e.jp:8443/a/")))
def test_the_short_way_spells_links_like_the_long_one(href: str, base: str) -> None:
    link = Linker(base, drop_parameters=DROP, max_chars=40, query_encoding="cp932")
    assert link(href) == canonicalise(
        href, base=base, drop_parameters=DROP, max_chars=40, query_encoding="cp932"
    )
