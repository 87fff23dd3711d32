"""The list of sources that comes with the product."""

from pathlib import Path

from so8t_core.contract.config import load_settings
from so8t_core.crawl.url import canonicalise

CONFIGS = Path(__file__).parents[2] / "configs"
CRAWL = load_settings(CONFIGS / "automated_so8t_pipeline.yaml").crawl


def test_every_source_names_its_terms_a_tier_with_limits_and_a_budget() -> None:
    assert CRAWL.sources
    for source in CRAWL.sources:
        assert source.terms.startswith("https://"), source.name
        assert canonicalise(source.terms) == source.terms, source.name
        assert source.tier in CRAWL.tiers, source.name
        assert source.max_pages is not None, source.name


def test_sources_whose_terms_forbid_crawlers_are_not_in_it() -> None:
    seeds = [seed for source in CRAWL.sources for seed in source.seeds]
    assert not [seed for seed in seeds if "kanpo.go.jp" in seed or "jstage.jst.go.jp" in seed]
