from pathlib import Path

import pytest

from so8t_core.demo.access_log import read_access_log
from so8t_core.demo.site import DemoSite
from so8t_core.phases import crawl

from .trial import context, index, kept, outcome_of


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    crawl.run(context(root, source="demo", delay_s=0.0, retry_base_s=0.05))
    return root


OWNERS_WORDS = {"noindex", "noarchive", "noai", "tdm-reservation", "robots-ai", "licence-deny"}


def test_every_open_page_is_kept_unless_its_owner_says_otherwise(crawled: Path) -> None:
    facts = DemoSite.facts()
    assert not (facts.noindex | facts.ai_opt_out) & set(kept(crawled))
    for url in facts.open_pages - set(kept(crawled)):
        assert outcome_of(crawled, url)[1] in OWNERS_WORDS, url
    assert facts.good <= set(kept(crawled)) | {
        url for url in facts.good if outcome_of(crawled, url)[1] == "robots-ai"
    }


def test_nothing_forbidden_is_asked_for(crawled: Path) -> None:
    facts = DemoSite.facts()
    asked = {access.url for access in read_access_log(crawled / "crawl" / "site" / "access.jsonl")}
    linked_plainly = {
        "http://www.so8t-demo.example/members/"
    }  # in the menu, beside a nofollow link
    assert not asked & facts.forbidden - linked_plainly
    assert not [url for url in asked if url.startswith(facts.forbidden_prefixes)]
    assert not {page for page in asked if not page.startswith("http://")}


def test_charsets_are_those_that_the_pages_were_written_in(crawled: Path) -> None:
    found = {page["url"]: page["charset"] for page in index(crawled)}
    for url, codec in DemoSite.facts().charsets.items():
        if url in found:
            assert found[url] == codec


def test_busy_pages_are_kept_all_the_same(crawled: Path) -> None:
    assert set(DemoSite.facts().busy_once) <= set(kept(crawled))


def test_a_page_that_forbids_copying_in_words_is_refused_with_the_words(crawled: Path) -> None:
    facts = DemoSite.facts()
    reserved = {url for url in facts.open_pages if facts.licences[url] == "reserved"}
    assert reserved
    assert not reserved & set(kept(crawled))
    assert {outcome_of(crawled, url)[1] for url in reserved} == {"licence-deny"}
