"""Cases for robots.txt after RFC 9309: what a file says to a crawler about a URL.

`Case(section, robots, token, path, allowed)`. Sections are those of the RFC; `wild` is what the RFC
leaves open and files on the web contain. Each file is written for this table.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    section: str
    robots: str | bytes
    token: str
    path: str
    allowed: bool

    @property
    def name(self) -> str:
        """A name that is the same in every process."""
        text = self.robots if isinstance(self.robots, str) else self.robots.decode("latin-1")
        short = "_".join(text.split())[:60].encode("ascii", "backslashreplace").decode()
        return f"{self.section}-{self.token}-{self.path[:30]}-{short}".replace("\\", "~")


def group(agent: str, *rules: str) -> str:
    """One group."""
    return "\n".join([f"User-agent: {agent}", *rules]) + "\n"


ALL = "Disallow: /"
FOO_ONLY = group("FooBot", "Disallow: /foo/") + "\n" + group("*", "Disallow: /all/")
TWO_OF_FOO = (
    group("FooBot", "Disallow: /a")
    + group("BarBot", "Disallow: /b")
    + group("foobot", "Disallow: /c")
)

USER_AGENT_LINES = [
    Case("2.2.1", group("*", ALL), "FooBot", "/", False),
    Case("2.2.1", group("*", ALL), "FooBot", "/x/y", False),
    Case("2.2.1", group("FooBot", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("foobot", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("FOOBOT", ALL), "foobot", "/x", False),
    Case("2.2.1", group("fOoBoT", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("BarBot", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("FooBotNews", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("Foo", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("Bot", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("FooBot-News", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("FooBot-News", ALL), "FooBot-News", "/x", False),
    Case("2.2.1", group("Foo_Bot", ALL), "Foo_Bot", "/x", False),
    Case("2.2.1", group("FooBot/1.0", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("FooBot/2.1 (+http://e.jp/bot)", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("FooBot 1.0", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("FooBot is not welcome", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("Mozilla/5.0 (compatible; FooBot/2.1)", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("  FooBot  ", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("\tFooBot\t", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("", ALL), "FooBot", "/x", True),
    Case("2.2.1", FOO_ONLY, "FooBot", "/foo/1", False),
    Case("2.2.1", FOO_ONLY, "FooBot", "/all/1", True),
    Case("2.2.1", FOO_ONLY, "BarBot", "/foo/1", True),
    Case("2.2.1", FOO_ONLY, "BarBot", "/all/1", False),
    Case("2.2.1", group("*", "Disallow: /all/") + group("FooBot", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("FooBot", "Disallow:") + group("*", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("FooBot", "Allow: /") + group("*", ALL), "FooBot", "/x", True),
    Case("2.2.1", group("FooBot") + group("*", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("FooBot") + "\n" + group("BarBot", ALL), "FooBot", "/x", False),
    Case("2.2.1", group("BarBot", ALL) + group("FooBot"), "FooBot", "/x", True),
    Case("2.2.1", TWO_OF_FOO, "FooBot", "/a", False),
    Case("2.2.1", TWO_OF_FOO, "FooBot", "/b", True),
    Case("2.2.1", TWO_OF_FOO, "FooBot", "/c", False),
    Case("2.2.1", TWO_OF_FOO, "BarBot", "/b", False),
    Case("2.2.1", TWO_OF_FOO, "BarBot", "/c", True),
    Case("2.2.1", group("*", "Disallow: /a") + group("*", "Disallow: /b"), "Foo", "/a", False),
    Case("2.2.1", group("*", "Disallow: /a") + group("*", "Disallow: /b"), "Foo", "/b", False),
    Case("2.2.1", "User-agent: A\nUser-agent: FooBot\n" + ALL, "FooBot", "/x", False),
    Case("2.2.1", "User-agent: FooBot\nUser-agent: A\n" + ALL, "FooBot", "/x", False),
    Case("2.2.1", "User-agent: A\n\nUser-agent: FooBot\n\n" + ALL, "FooBot", "/x", False),
    Case("2.2.1", "User-agent: A\n# note\nUser-agent: FooBot\n" + ALL, "A", "/x", False),
    Case("2.2.1", group("*, FooBot", ALL), "BarBot", "/x", False),
    Case("2.2.1", ALL + "\n" + group("*", "Disallow: /y"), "FooBot", "/x", True),
    Case("2.2.1", "Allow: /\n" + group("*", ALL), "FooBot", "/x", False),
    Case("2.2.1", ALL, "FooBot", "/x", True),
    Case("2.2.1", "", "FooBot", "/x", True),
]

RULES = [
    Case("2.2.2", group("*", "Disallow:"), "FooBot", "/x", True),
    Case("2.2.2", group("*", "Disallow: "), "FooBot", "/x", True),
    Case("2.2.2", group("*", "Allow:"), "FooBot", "/x", True),
    Case("2.2.2", group("*", ALL, "Allow:"), "FooBot", "/x", False),
    Case("2.2.2", group("*", "Disallow:", ALL), "FooBot", "/x", False),
    Case("2.2.2", group("*", ALL), "FooBot", "/robots.txt", True),
    Case("2.2.2", group("*", "Disallow: /robots.txt"), "FooBot", "/robots.txt", True),
    Case("2.2.2", group("*", "Disallow: /x"), "FooBot", "/x", False),
    Case("2.2.2", group("*", "Disallow: /x"), "FooBot", "/xyz", False),
    Case("2.2.2", group("*", "Disallow: /x"), "FooBot", "/x/y.html", False),
    Case("2.2.2", group("*", "Disallow: /x"), "FooBot", "/y/x", True),
    Case("2.2.2", group("*", "Disallow: /x"), "FooBot", "/X", True),
    Case("2.2.2", group("*", "Disallow: /X"), "FooBot", "/x", True),
    Case("2.2.2", group("*", "Disallow: /x/"), "FooBot", "/x", True),
    Case("2.2.2", group("*", "Disallow: /x/"), "FooBot", "/x/", False),
    Case("2.2.2", group("*", "Disallow: /x/"), "FooBot", "/x/y", False),
    Case("2.2.2", group("*", "Disallow: /x.html"), "FooBot", "/x.html", False),
    Case("2.2.2", group("*", "Disallow: /x.html"), "FooBot", "/x.html?q", False),
    Case("2.2.2", group("*", "Disallow: /x.html"), "FooBot", "/xzhtml", True),
    Case("2.2.2", group("*", "Disallow: /x?q=1"), "FooBot", "/x?q=1", False),
    Case("2.2.2", group("*", "Disallow: /x?q=1"), "FooBot", "/x?q=12", False),
    Case("2.2.2", group("*", "Disallow: /x?q=1"), "FooBot", "/x?q=2", True),
    Case("2.2.2", group("*", "Disallow: /x?q=1"), "FooBot", "/x", True),
    Case("2.2.2", group("*", "Disallow: /a", "Allow: /a/b"), "FooBot", "/a/b", True),
    Case("2.2.2", group("*", "Disallow: /a", "Allow: /a/b"), "FooBot", "/a/c", False),
    Case("2.2.2", group("*", "Allow: /a/b", "Disallow: /a"), "FooBot", "/a/b/c", True),
    Case("2.2.2", group("*", "Allow: /a", "Disallow: /a/b"), "FooBot", "/a/b", False),
    Case("2.2.2", group("*", "Allow: /a", "Disallow: /a/b"), "FooBot", "/a/c", True),
    Case("2.2.2", group("*", "Allow: /a", "Disallow: /a"), "FooBot", "/a", True),
    Case("2.2.2", group("*", "Disallow: /a", "Allow: /a"), "FooBot", "/a", True),
    Case("2.2.2", group("*", "Allow: /", ALL), "FooBot", "/x", True),
    Case("2.2.2", group("*", "Allow: /a/b", ALL), "FooBot", "/x", False),
    Case("2.2.2", group("*", "Allow: /p", "Disallow: /"), "FooBot", "/page", True),
    Case("2.2.2", group("*", "Allow: /folder", "Disallow: /folder"), "FooBot", "/folder/p", True),
    Case("2.2.2", group("*", "Allow: /page", "Disallow: /*.htm"), "FooBot", "/page.htm", False),
    Case("2.2.2", group("*", "Allow: /page", "Disallow: /*.ph"), "FooBot", "/page.php5", True),
    Case("2.2.2", group("*", "Allow: /$", ALL), "FooBot", "/", True),
    Case("2.2.2", group("*", "Allow: /$", ALL), "FooBot", "/page.htm", False),
    Case("2.2.2", group("*", "ALLOW: /a/b", "DISALLOW: /a"), "FooBot", "/a/b", True),
    Case("2.2.2", group("*", "disallow: /a"), "FooBot", "/a", False),
    Case("2.2.2", group("*", "Disallow:/a"), "FooBot", "/a", False),
    Case("2.2.2", group("*", "Disallow :/a"), "FooBot", "/a", False),
    Case("2.2.2", group("*", "Disallow:\t/a"), "FooBot", "/a", False),
    Case("2.2.2", group("*", "   Disallow: /a"), "FooBot", "/a", False),
    Case("2.2.2", group("*", "Disallow: /a   "), "FooBot", "/a", False),
]

OCTETS = [
    Case("2.2.2", group("*", "Disallow: /foo/bar?baz=quz"), "Foo", "/foo/bar?baz=quz", False),
    Case("2.2.2", group("*", "Disallow: /foo/bar/ツ"), "Foo", "/foo/bar/%E3%83%84", False),
    Case("2.2.2", group("*", "Disallow: /foo/bar/%E3%83%84"), "Foo", "/foo/bar/%E3%83%84", False),
    Case("2.2.2", group("*", "Disallow: /foo/bar/%e3%83%84"), "Foo", "/foo/bar/%E3%83%84", False),
    Case("2.2.2", group("*", "Disallow: /foo/bar/ツ"), "Foo", "/foo/bar/%E3%83%85", True),
    Case("2.2.2", group("*", "Disallow: /日本/"), "Foo", "/%E6%97%A5%E6%9C%AC/x", False),
    Case("2.2.2", group("*", "Disallow: /%7Ejoe/"), "Foo", "/~joe/x", False),
    Case("2.2.2", group("*", "Disallow: /~joe/"), "Foo", "/%7Ejoe/x", False),
    Case("2.2.2", group("*", "Disallow: /foo/bar/%62%61%7A"), "Foo", "/foo/bar/baz", False),
    Case("2.2.2", group("*", "Disallow: /a%2Fb"), "Foo", "/a/b", True),
    Case("2.2.2", group("*", "Disallow: /a%2fb"), "Foo", "/a%2Fb", False),
    Case("2.2.2", group("*", "Disallow: /a/b"), "Foo", "/a%2Fb", True),
    Case("2.2.2", group("*", "Disallow: /a b"), "Foo", "/a%20b", False),
    Case("2.2.2", group("*", "Disallow: /a%20b"), "Foo", "/a%20b", False),
    Case("2.2.2", group("*", "Disallow: /a+b"), "Foo", "/a%20b", True),
    Case("2.2.2", group("*", "Disallow: /a;b=1"), "Foo", "/a;b=1", False),
    Case("2.2.2", group("*", "Disallow: /a(b)"), "Foo", "/a(b)/c", False),
    Case("2.2.2", group("*", "Disallow: /[a-z]"), "Foo", "/q", True),
    Case("2.2.2", group("*", "Disallow: /a+"), "Foo", "/aaa", True),
    Case("2.2.2", group("*", "Disallow: /a|b"), "Foo", "/b", True),
    Case("2.2.2", group("*", "Disallow: /a\\d"), "Foo", "/a1", True),
    Case("2.2.2", b"User-agent: *\nDisallow: /\x82\xa0", "Foo", "/%82%A0", False),
    Case("2.2.2", b"User-agent: *\nDisallow: /\xa4\xa2", "Foo", "/%A4%A2x", False),
    Case("2.2.2", b"User-agent: *\nDisallow: /\xff\nDisallow: /b", "Foo", "/b", False),
]

SPECIAL = [
    Case("2.2.3", group("*", "Disallow: /a # b"), "Foo", "/a", False),
    Case("2.2.3", group("*", "Disallow: /a#b"), "Foo", "/a", False),
    Case("2.2.3", group("* # all", ALL), "Foo", "/x", False),
    Case("2.2.3", "# User-agent: *\n# Disallow: /\n", "Foo", "/x", True),
    Case("2.2.3", group("*", "# Disallow: /a", "Disallow: /b"), "Foo", "/a", True),
    Case("2.2.3", group("*", "# Disallow: /a", "Disallow: /b"), "Foo", "/b", False),
    Case("2.2.3", group("*", "#", ALL), "Foo", "/x", False),
    Case("2.2.3", group("*", "Disallow: # /a"), "Foo", "/a", True),
    Case("2.2.3", group("*", "Disallow: /a$"), "Foo", "/a", False),
    Case("2.2.3", group("*", "Disallow: /a$"), "Foo", "/ab", True),
    Case("2.2.3", group("*", "Disallow: /a$"), "Foo", "/a?b", True),
    Case("2.2.3", group("*", "Disallow: /a$"), "Foo", "/a/", True),
    Case("2.2.3", group("*", "Disallow: /*.php$"), "Foo", "/x/y.php", False),
    Case("2.2.3", group("*", "Disallow: /*.php$"), "Foo", "/y.php?p", True),
    Case("2.2.3", group("*", "Disallow: /*.php$"), "Foo", "/y.php5", True),
    Case("2.2.3", group("*", "Disallow: /*.php$"), "Foo", "/y.PHP", True),
    Case("2.2.3", group("*", "Disallow: /*.php"), "Foo", "/y.php5", False),
    Case("2.2.3", group("*", "Disallow: /*.php"), "Foo", "/y.php/z", False),
    Case("2.2.3", group("*", "Disallow: /*.php"), "Foo", "/y", True),
    Case("2.2.3", group("*", "Disallow: /*"), "Foo", "/x", False),
    Case("2.2.3", group("*", "Disallow: *"), "Foo", "/x", False),
    Case("2.2.3", group("*", "Disallow: /x*"), "Foo", "/x", False),
    Case("2.2.3", group("*", "Disallow: /x*"), "Foo", "/xyz", False),
    Case("2.2.3", group("*", "Disallow: /x*/"), "Foo", "/x", True),
    Case("2.2.3", group("*", "Disallow: /x*/"), "Foo", "/x/", False),
    Case("2.2.3", group("*", "Disallow: /*/x"), "Foo", "/x", True),
    Case("2.2.3", group("*", "Disallow: /*/x"), "Foo", "/a/x", False),
    Case("2.2.3", group("*", "Disallow: /*/x"), "Foo", "/a/b/x", False),
    Case("2.2.3", group("*", "Disallow: */x"), "Foo", "/a/x", False),
    Case("2.2.3", group("*", "Disallow: /a*c"), "Foo", "/ac", False),
    Case("2.2.3", group("*", "Disallow: /a*c"), "Foo", "/abbc", False),
    Case("2.2.3", group("*", "Disallow: /a*c"), "Foo", "/ab", True),
    Case("2.2.3", group("*", "Disallow: /a**c"), "Foo", "/abc", False),
    Case("2.2.3", group("*", "Disallow: /a*b*c$"), "Foo", "/axbxc", False),
    Case("2.2.3", group("*", "Disallow: /a*b*c$"), "Foo", "/axbxcx", True),
    Case("2.2.3", group("*", "Disallow: /*?"), "Foo", "/a?b", False),
    Case("2.2.3", group("*", "Disallow: /*?"), "Foo", "/a", True),
    Case("2.2.3", group("*", "Disallow: /*?*sid="), "Foo", "/a?b=1&sid=2", False),
    Case("2.2.3", group("*", "Disallow: /fish*.php"), "Foo", "/fishheads/catfish.php?p", False),
    Case("2.2.3", group("*", "Disallow: /fish*.php"), "Foo", "/Fish.php", True),
    Case("2.2.3", group("*", "Disallow: /*$"), "Foo", "/x", False),
    Case("2.2.3", group("*", "Disallow: /$"), "Foo", "/", False),
    Case("2.2.3", group("*", "Disallow: /$"), "Foo", "/x", True),
]

OTHER_RECORDS = [
    Case("2.2.4", "Sitemap: http://e.jp/s.xml\n" + group("*", ALL), "Foo", "/x", False),
    Case("2.2.4", "User-agent: A\nSitemap: http://e.jp/s\nUser-agent: B\n" + ALL, "A", "/x", False),
    Case("2.2.4", group("*", "Sitemap: http://e.jp/s.xml", ALL), "Foo", "/x", False),
    Case("2.2.4", group("*", "Crawl-delay: 5", ALL), "Foo", "/x", False),
    Case("2.2.4", "User-agent: A\nCrawl-delay: 5\nUser-agent: B\n" + ALL, "A", "/x", False),
    Case("2.2.4", "User-agent: A\nNoise: 5\nUser-agent: B\n" + ALL, "A", "/x", False),
    Case("2.2.4", group("*", "Host: e.jp", ALL), "Foo", "/x", False),
    Case("2.2.4", group("*", "Clean-param: ref /a", ALL), "Foo", "/x", False),
    Case("2.2.4", group("*", "Noindex: /a"), "Foo", "/a", True),
    Case("2.2.4", group("*", "Content-Signal: ai-train=no"), "Foo", "/a", True),
]

WILD = [
    Case("wild", "\ufeffUser-agent: *\nDisallow: /", "Foo", "/x", False),
    Case("wild", "\ufeff\ufeffUser-agent: *\nDisallow: /", "Foo", "/x", False),
    Case("wild", "# note\n\ufeffUser-agent: *\nDisallow: /", "Foo", "/x", False),
    Case("wild", b"\xef\xbb\xbfUser-agent: *\r\nDisallow: /", "Foo", "/x", False),
    Case("wild", "User-agent: *\nDisallow: /".encode("utf-16"), "Foo", "/x", False),
    Case("wild", "User-agent: *\nDisallow: /".encode("utf-16-be"), "Foo", "/x", False),
    Case("wild", "User-agent: *\rDisallow: /a\rDisallow: /b", "Foo", "/b", False),
    Case("wild", "User-agent: *\r\nDisallow: /a\r\n", "Foo", "/a", False),
    Case("wild", "User-agent: *\n\r\n\rDisallow: /a", "Foo", "/a", False),
    Case("wild", "User-agent: *\n\n\n\nDisallow: /a", "Foo", "/a", False),
    Case("wild", "User-agent *\nDisallow /a", "Foo", "/a", False),
    Case("wild", "User-agent\t*\nDisallow\t/a", "Foo", "/a", False),
    Case("wild", "Useragent: *\nDisallow: /a", "Foo", "/a", False),
    Case("wild", "User agent: *\nDisallow: /a", "Foo", "/a", False),
    Case("wild", "USER-AGENT: *\nDISALLOW: /a", "Foo", "/a", False),
    Case("wild", group("*", "Dissallow: /a"), "Foo", "/a", False),
    Case("wild", group("*", "Disalow: /a"), "Foo", "/a", False),
    Case("wild", group("*", "Dissalow: /a"), "Foo", "/a", False),
    Case("wild", group("*", "Disallow: /a", "Nonsense", "Disallow: /b"), "Foo", "/b", False),
    Case("wild", group("*", "Disallow: /a Allow: /b"), "Foo", "/a", True),
    Case("wild", group("*", "Disallow: a"), "Foo", "/a", True),
    Case("wild", "<html><body>Disallow: /</body></html>", "Foo", "/x", True),
    Case("wild", "<!DOCTYPE html>\n<title>404</title>", "Foo", "/x", True),
    Case("wild", b"\x00\x01\x02\x89PNG\r\n", "Foo", "/x", True),
    Case("wild", b"User-agent: *\nDis\x00allow: /", "Foo", "/x", False),
    Case("wild", group("*", ALL + "\u2028Allow: /"), "Foo", "/x", True),
    Case("wild", group("*", "Disallow: /" + "a" * 5000), "Foo", "/x", True),
    Case("wild", group("*", ALL), "Foo", "//", False),
    Case("wild", group("*", "Disallow: /x"), "Foo", "/x#y", False),
    Case("wild", group("*", ALL, "Allow: /d/index.html"), "Foo", "/d/", False),
    Case("wild", group("*", "Disallow: http://e.jp/x"), "Foo", "/x", True),
]

CASES = [*USER_AGENT_LINES, *RULES, *OCTETS, *SPECIAL, *OTHER_RECORDS, *WILD]
