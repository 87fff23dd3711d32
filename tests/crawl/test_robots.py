import gzip

import pytest

from so8t_core.crawl.robots import MAX_ROBOTS_BYTES, RuleSet, parse


def allowed(text: str | bytes, path: str, token: str = "FooBot") -> bool:
    body = text if isinstance(text, bytes) else text.encode()
    return RuleSet(parse(body, token).rules).forbidding(f"http://e.jp{path}") is None


@pytest.mark.parametrize(
    ("text", "path", "is_allowed"),
    [
        # Groups (RFC 9309, 2.2.1)
        ("", "/x", True),
        ("User-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ("user-AGENT: foobot\ndisALLOW: /", "/x", False),
        ("User-agent: barbot\nDisallow: /", "/x", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: foobot\nDisallow: /p", "/x", True),
        ("User-agent: foobot\nDisallow:\nUser-agent: *\nDisallow: /", "/x", True),
        (
            "User-agent: foobot\nDisallow: /a\nUser-agent: x\nDisallow: /\n"
            "User-agent: foobot\nDisallow: /b",
            "/b",
            False,
        ),
        ("User-agent: foobot\nUser-agent: barbot\nDisallow: /", "/x", False),
        ("User-agent: foobot\n\n\nUser-agent: barbot\n\nDisallow: /", "/x", False),
        ("User-agent: foobot\nUnknown: 1\nUser-agent: barbot\nDisallow: /", "/x", False),
        ("User-agent: foobot\nSitemap: http://e.jp/s\nUser-agent: x\nDisallow: /", "/x", False),
        ("User-agent: foobot\nCrawl-delay: 1\nUser-agent: x\nDisallow: /", "/x", False),
        ("User-agent: foobot\nAllow: /\nUser-agent: x\nDisallow: /", "/x", True),
        ("User-agent: foobot/2.1\nDisallow: /", "/x", False),
        ("User-agent: FooBot is welcome\nDisallow: /", "/x", False),
        ("User-agent: foobotics\nDisallow: /", "/x", True),
        ("User-agent: foo\nDisallow: /", "/x", True),
        ("User-agent: * \nDisallow: /", "/x", False),
        ("Disallow: /\nUser-agent: *\nDisallow: /y", "/x", True),
        # Matching (2.2.2, 2.2.3)
        ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
        ("User-agent: *\nAllow: /a/b\nDisallow: /a", "/a/c", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /fish", "/fishheads/x.html", False),
        ("User-agent: *\nDisallow: /fish", "/Fish", True),
        ("User-agent: *\nDisallow: /fish/", "/fish", True),
        ("User-agent: *\nDisallow: /*.php$", "/a/b.php", False),
        ("User-agent: *\nDisallow: /*.php$", "/a.php?x=1", True),
        ("User-agent: *\nDisallow: /*?", "/a?x", False),
        ("User-agent: *\nDisallow: /a*c", "/abbbc", False),
        ("User-agent: *\nDisallow: */secret/", "/a/secret/x", False),
        ("User-agent: *\nDisallow: /\nAllow: /$", "/", True),
        ("User-agent: *\nDisallow: /\nAllow: /$", "/x", False),
        ("User-agent: *\nDisallow: /あ", "/%E3%81%82", False),
        ("User-agent: *\nDisallow: /%e3%81%82", "/%E3%81%82", False),
        ("User-agent: *\nDisallow: /a%2Fb", "/a/b", True),
        ("User-agent: *\nDisallow: /~joe", "/%7Ejoe", False),
        ("User-agent: *\nDisallow: /\nAllow: /d/index.html", "/d/", False),
        ("User-agent: *\nDisallow: /\nAllow: /d/index.html", "/d/index.html", True),
        # Odd files
        ("\ufeffUser-agent: *\nDisallow: /", "/x", False),
        ("User-agent: *\rDisallow: /a\rDisallow: /b", "/b", False),
        ("User-agent: *\r\nDisallow: /a\r\n", "/a", False),
        ("User-agent: * # all\nDisallow: /a # not this", "/a", False),
        ("User-agent *\nDisallow /", "/x", False),
        ("User-agent: *\n  Disallow  :  /a  ", "/a", False),
        ("User-agent: *\nDissallow: /a", "/a", False),
        ("User-agent: *\nDisallow: /a b", "/a%20b", False),
        ("User-agent: *\nDisallow: /a\u2028Allow: /", "/b", True),
        ("<html><body>Disallow: /</body></html>", "/x", True),
        (b"\x00\xff\xfe\x89PNG", "/x", True),
        ("User-agent: *\nDisallow: /".encode("utf-16"), "/x", False),
        (b"User-agent: *\nDisallow: /\x82\xa0", "/%82%A0", False),
    ],
)
def test_what_robots_txt_allows(text: str | bytes, path: str, is_allowed: bool) -> None:
    assert allowed(text, path) is is_allowed


def test_the_line_that_forbids_is_named() -> None:
    rules = RuleSet(parse(b"User-agent: *\nDisallow: /a\nDisallow: /a/b", "x").rules)
    assert rules.forbidding("http://e.jp/a/b/c") == "Disallow: /a/b"


def test_five_hundred_kibibytes_are_read_and_a_cut_line_is_dropped() -> None:
    filler = b"User-agent: *\n" + b"#" * (MAX_ROBOTS_BYTES - 40) + b"\n"
    assert not allowed(filler + b"Disallow: /a\n" + b"# more" * 10, "/a")
    cut = filler + b"Disallow: /a\n" + b"Allow: /" + b"a" * 100
    assert not allowed(cut, "/a")


def test_crawl_delay_and_sitemaps() -> None:
    group = parse(
        b"Sitemap: http://e.jp/s.xml\nUser-agent: *\nCrawl-delay: 2.5\nCrawl-delay: x\n"
        b"User-agent: *\nCrawl-delay: 1\nDisallow:",
        "FooBot",
    )
    assert (group.crawl_delay_s, group.sitemaps) == (2.5, ("http://e.jp/s.xml",))


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("10", 10), ("10s", 10), ("10 sec", 10), ("1,5", 1.5), ("2 min", 120), ("1e1", 10), ("x", 0)],
)
def test_a_crawl_delay_may_have_a_unit(said: str, seconds: float) -> None:
    assert parse(f"User-agent: *\nCrawl-delay: {said}".encode(), "x").crawl_delay_s == seconds


def test_a_robots_file_that_is_sent_as_a_gzip_file_is_unpacked() -> None:
    body = gzip.compress(b"User-agent: *\nDisallow: /no")
    assert parse(body, "x").rules == (("disallow", "/no"),)
    assert parse(body[:15], "x").rules == ()
    bomb = gzip.compress(b"User-agent: *\nDisallow: /no\n" + b"#" * 50_000_000)
    assert parse(bomb, "x").rules == (("disallow", "/no"),)
