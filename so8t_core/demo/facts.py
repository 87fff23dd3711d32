"""What is true of the demo site, gathered from its sources: the measure for other rooms' tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain

from so8t_core.demo.rendering import markdown
from so8t_core.demo.source import Flag, Host, Licence, Page, Planted, load_hosts
from so8t_core.demo.structured import questions, steps, terms

REUSABLE_LICENCES: frozenset[Licence] = frozenset({"cc-by", "cc-by-sa", "cc0"})


@dataclass(frozen=True)
class SiteFacts:
    """Facts about the site. Every string that names a page is a full URL without a port."""

    open_pages: frozenset[str]
    """HTML pages that following allowed links from the seeds reaches; months are not counted."""
    sitemap_only: frozenset[str]
    """Allowed, but only a sitemap names them."""
    forbidden: frozenset[str]
    """Must never be requested: disallowed by robots.txt, or only nofollow links lead there."""
    forbidden_prefixes: tuple[str, ...]
    """Likewise: every URL that starts so."""
    good: frozenset[str]
    """Japanese prose that belongs in the corpus: open, indexable, reusable, unflawed, unflagged;
    copies and near copies included, index pages not."""
    noindex: frozenset[str]
    ai_opt_out: frozenset[str]
    """Refuse use for training: noai, TDM reservation, or robots groups for AI crawlers."""
    flawed: Mapping[str, str]
    """URL: why a quality filter must drop it."""
    flagged: Mapping[str, Flag]
    """URL: the category that a safety filter must find."""
    personal: Mapping[str, tuple[Planted, ...]]
    public: Mapping[str, tuple[str, ...]]
    """URL: values that look personal and must survive masking."""
    exact_duplicates: tuple[tuple[str, str], ...]
    """Original and a page of the very same bytes."""
    near_duplicates: tuple[tuple[str, str], ...]
    """Original and a page with small edits."""
    licences: Mapping[str, Licence]
    charsets: Mapping[str, str]
    """URL of each page that is not UTF-8: its Python codec."""
    redirects: Mapping[str, str]
    """URL: target as sent, which may be relative."""
    missing: frozenset[str]
    """Linked, answered with 404 or 410."""
    busy_once: Mapping[str, int]
    """URL: the Retry-After in seconds of its single 503."""
    month_chains: Mapping[str, int]
    """Prefix of a chain of empty calendar months that links alone could walk: its length."""
    faq: Mapping[str, tuple[tuple[str, str], ...]]
    """URL with FAQPage JSON-LD: its questions and answers."""
    question_headings: Mapping[str, tuple[tuple[str, str], ...]]
    """URL without such JSON-LD whose headings ask: its questions and answers."""
    how_to: Mapping[str, tuple[str, ...]]
    """URL with HowTo JSON-LD: its steps."""
    definitions: Mapping[str, tuple[tuple[str, str], ...]]
    """URL with a dl list: its terms and definitions."""


def _opts_out(page: Page) -> bool:
    refused = "noai" in page.meta.robots + page.meta.x_robots
    return refused or page.meta.tdm_reserved or page.meta.ai_disallowed


def _is_noindex(page: Page) -> bool:
    return "noindex" in page.meta.robots + page.meta.x_robots


def _is_good(page: Page, host: Host) -> bool:
    return (
        not page.is_index
        and page.meta.access == "open"
        and host.licence_of(page) in REUSABLE_LICENCES
        and not (page.meta.flaw or page.meta.flag or _opts_out(page) or _is_noindex(page))
    )


@cache
def gather_facts() -> SiteFacts:
    """Read every page's source once. Raises DataError when one is malformed."""
    hosts = load_hosts()
    pages = tuple(chain.from_iterable(host.pages for host in hosts))
    host_of = {host.name: host for host in hosts}
    parser = markdown()

    def where(wanted: Callable[[Page], object]) -> frozenset[str]:
        return frozenset(page.url for page in pages if wanted(page))

    def urls(pick: Callable[[Host], tuple[str, ...]]) -> frozenset[str]:
        return frozenset(f"http://{host.name}{path}" for host in hosts for path in pick(host))

    return SiteFacts(
        open_pages=where(lambda page: page.meta.access == "open"),
        sitemap_only=where(lambda page: page.meta.access == "sitemap"),
        forbidden=where(lambda page: page.meta.access in ("disallowed", "nofollow"))
        | urls(lambda host: host.meta.forbidden),
        forbidden_prefixes=tuple(sorted(urls(lambda host: host.meta.forbidden_prefixes))),
        good=where(lambda page: _is_good(page, host_of[page.host])),
        noindex=where(_is_noindex),
        ai_opt_out=where(_opts_out),
        flawed={page.url: page.meta.flaw for page in pages if page.meta.flaw},
        flagged={page.url: page.meta.flag for page in pages if page.meta.flag},
        personal={page.url: page.meta.personal for page in pages if page.meta.personal},
        public={page.url: page.meta.public for page in pages if page.meta.public},
        exact_duplicates=_pairs(pages, lambda page: page.meta.copy_of),
        near_duplicates=_pairs(pages, lambda page: page.meta.near),
        licences={page.url: host_of[page.host].licence_of(page) for page in pages},
        charsets={page.url: page.meta.charset for page in pages if page.meta.charset != "utf-8"},
        redirects={
            f"http://{host.name}{path}": redirect.to
            for host in hosts
            for path, redirect in host.meta.redirects.items()
        },
        missing=urls(lambda host: host.meta.missing + host.meta.gone),
        busy_once={page.url: page.meta.retry_after_s for page in pages if page.meta.retry_after_s},
        month_chains={
            f"http://{host.name}{prefix}": length
            for host in hosts
            for prefix, length in host.meta.month_chains.items()
            if prefix not in host.meta.forbidden_prefixes
        },
        faq={page.url: questions(page, parser) for page in pages if page.meta.structured == "faq"},
        question_headings={
            page.url: found
            for page in pages
            if page.meta.structured != "faq" and (found := questions(page, parser))
        },
        how_to={page.url: steps(page, parser) for page in pages if page.meta.structured == "howto"},
        definitions={page.url: found for page in pages if (found := terms(page, parser))},
    )


def _pairs(pages: tuple[Page, ...], original: Callable[[Page], str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"http://{page.host}{original(page)}", page.url) for page in pages if original(page)
    )
