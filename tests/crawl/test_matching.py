"""Which rule decides: as protego, an independent reader, has it, and however many rules there are."""

from hypothesis import given, settings
from hypothesis import strategies as st
from protego import Protego

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.permission import Answer, Permissions
from so8t_core.crawl.robots import RuleSet, parse
from so8t_core.crawl.url import canonicalise

from .test_permission import Store

_PIECES = (
    "/",
    "a",
    "b",
    "ab",
    "*",
    "**",
    "$",
    "?",
    "=",
    "%2F",
    "%2f",
    "%41",
    "%2A",
    "%24",
    "~",
    ".",
)
_RULES = st.lists(
    st.tuples(
        st.sampled_from(("allow", "disallow")),
        st.lists(st.sampled_from(_PIECES), min_size=1, max_size=6).map("".join),
    ),
    max_size=8,
)
_PATHS = st.lists(st.sampled_from((*_PIECES, "あ", "%E3%81%82", "!")), max_size=8).map("".join)


@settings(deadline=None)
@given(_RULES, _PATHS)
def test_the_deciding_rule_is_the_one_that_protego_finds(
    rules: list[tuple[str, str]], path: str
) -> None:
    url = canonicalise(f"http://e.jp/{path}")
    assert isinstance(url, str)
    lines = "\n".join(f"{field}: {pattern}" for field, pattern in rules)
    referee = Protego.parse(f"User-agent: us\n{lines}")
    assert (RuleSet(tuple(rules)).forbidding(url) is None) == referee.can_fetch(url, "us")


def test_many_rules_cost_hardly_more_than_a_few() -> None:
    """Where each URL is compared with each rule, this test takes an hour."""
    lines = b"".join(b"Disallow: /part/%d/page\n" % number for number in range(15_000))
    rules = RuleSet(parse(b"User-agent: *\n" + lines, "us").rules)
    for number in range(10_000):
        line = rules.forbidding(f"http://e.jp/part/{number}/page/x")
        assert line == f"Disallow: /part/{number}/page"
        assert rules.forbidding(f"http://e.jp/part/{number}/pages"[:-2]) is None


def test_stars_cannot_be_made_to_go_back_again_and_again() -> None:
    """With backtracking this ends after the universe does."""
    rules = RuleSet((("disallow", "/" + "*a" * 50 + "*b$"),))
    assert rules.forbidding("http://e.jp/" + "a" * 1900) is None
    assert rules.forbidding("http://e.jp/" + "a" * 1900 + "b") is not None


def test_more_wildcards_than_can_be_obeyed_at_a_tolerable_cost_forbid_all() -> None:
    store, now = Store(), 1_700_000_000.0
    permissions = Permissions(store, CrawlSettings())
    for count, refused in ((19_000, False), (21_000, True)):
        lines = b"".join(b"Disallow: /*%d\n" % number for number in range(count))
        group = parse(b"User-agent: *\n" + lines, "us")
        permissions.learn(Answer("http://e.jp", "rules", "HTTP 200", now, group))
        refusal = permissions.refuse("http://e.jp/x")
        assert (refusal is not None) == refused
    assert refusal is not None
    assert (refusal.rule, refusal.detail) == ("robots-too-costly", "21000 wildcards")


def test_rules_in_memory_are_bounded_by_their_number_not_by_their_hosts() -> None:
    store, now = Store(), 1_700_000_000.0
    permissions = Permissions(store, CrawlSettings())
    group = parse(b"User-agent: *\n" + b"Disallow: /x\n" * 30_000, "us")
    for number in range(20):
        permissions.learn(Answer(f"http://h{number}.jp", "rules", "HTTP 200", now, group))
        assert permissions.refuse(f"http://h{number}.jp/x") is not None
    assert len(permissions._known) <= 6
    assert permissions.refuse("http://h0.jp/x") is not None, "read again from the store"
