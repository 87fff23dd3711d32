"""Phase 1: seeds and policies in; WARC files, the frontier and the page index out."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import Any

from so8t_core.contract.errors import Unreachable
from so8t_core.contract.files import canonical_json, sha256_text
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.crawler import Crawler
from so8t_core.crawl.documents import take_documents
from so8t_core.crawl.earlier import FRONTIER_NAME, WARC_FOLDER, Earlier
from so8t_core.crawl.fetcher import Fetcher
from so8t_core.crawl.figures import crawl_figures
from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.guard import Guard
from so8t_core.crawl.imported import take_in
from so8t_core.crawl.index import CDXJ_NAME, FILE_NAME, write_index
from so8t_core.crawl.inputs import input_digests
from so8t_core.crawl.scope import Scope
from so8t_core.crawl.warc import Archive
from so8t_core.phases.base import Outcome, PhaseContext

SITE_FOLDER = "site"
_PACE = frozenset(
    {
        *("delay_s", "max_concurrency", "connect_timeout_s", "read_timeout_s", "fetch_timeout_s"),
        *("retry_base_s", "robots_max_age_s", "resolve", "warc_max_bytes"),
        *("adaptive_delay", "max_adaptive_delay_s", "address_delay_share", "dns_ttl_s"),
        *("breaker_rest_s", "warc_retention_days"),
    }
)
_SHOWN_HOSTS = 10


def run(ctx: PhaseContext) -> Outcome:
    """Crawl, or take in WARC files.

    Raises `Unreachable` where not one page could be fetched, with the reason for each host.
    """
    settings = ctx.settings.crawl
    if settings.source == "warc":
        return _import(ctx, settings)
    if settings.source in ("jsonl", "dataset"):
        return _take_documents(ctx, settings)
    if settings.source == "demo":
        return _run(_crawl_demo(ctx, settings))
    return _run(_crawl(ctx, settings))


def _run(crawl: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run on uvloop's event loop, which halves the cost of a request; Windows has none."""
    if sys.platform == "win32":
        return asyncio.run(crawl)
    import uvloop

    return uvloop.run(crawl)


def _fingerprint(settings: CrawlSettings, inputs: Mapping[str, str]) -> str:
    """Digest of what decides which pages there are; settings of mere pace are left out."""
    said = settings.model_dump(mode="json", exclude=set(_PACE))
    return sha256_text(canonical_json(said | {"inputs": inputs} if inputs else said))


def _import(ctx: PhaseContext, settings: CrawlSettings) -> Outcome:
    inputs = input_digests(settings)
    with Frontier(ctx.folder / FRONTIER_NAME, _fingerprint(settings, inputs)) as frontier:
        _forget_what_is_gone(ctx, frontier)
        take_in(ctx, settings, frontier, ctx.folder / WARC_FOLDER)
        return _outcome(ctx, frontier, inputs)


def _take_documents(ctx: PhaseContext, settings: CrawlSettings) -> Outcome:
    inputs = input_digests(settings)
    with Frontier(ctx.folder / FRONTIER_NAME, _fingerprint(settings, inputs)) as frontier:
        _forget_what_is_gone(ctx, frontier)
        folder = ctx.folder / WARC_FOLDER
        with Archive(folder, frontier.archives(), settings.warc_max_bytes) as archive:
            take_documents(ctx, settings, frontier, archive)
        return _outcome(ctx, frontier, inputs)


async def _crawl_demo(ctx: PhaseContext, settings: CrawlSettings) -> Outcome:
    """Crawl the packaged site, served on loopback for as long as the crawl lasts."""
    from so8t_core.demo.site import DemoSite

    async with DemoSite(ctx.folder / SITE_FOLDER) as site:
        ip, port = site.address
        served = dict.fromkeys(site.hosts, f"{ip}:{port}")
        demo = settings.model_copy(
            update={
                "seeds": site.seeds,
                "allowed_hosts": site.hosts,
                "resolve": {**settings.resolve, **served},
            }
        )
        return await _crawl(ctx, demo)


def _forget_what_is_gone(ctx: PhaseContext, frontier: Frontier) -> None:
    """Where WARC files of the crawl were removed (`so8t crawl expire`), it starts again."""
    gone = [name for name in frontier.archives() if not (ctx.folder / WARC_FOLDER / name).exists()]
    if gone:
        words = f"{len(gone)} WARC files of this crawl are gone, {gone[0]} first: it starts again."
        ctx.emit.log("warning", words)
        frontier.forget()


async def _crawl(ctx: PhaseContext, settings: CrawlSettings) -> Outcome:
    warc = ctx.folder / WARC_FOLDER
    earlier = Earlier(settings.revisit) if settings.revisit is not None else None
    with (
        closing(earlier) if earlier is not None else nullcontext(),
        Frontier(ctx.folder / FRONTIER_NAME, _fingerprint(settings, {})) as frontier,
    ):
        _forget_what_is_gone(ctx, frontier)
        with Archive(warc, frontier.archives(), settings.warc_max_bytes) as archive:
            guard = Guard(settings.resolve, settings.dns_ttl_s)
            async with Fetcher(settings, guard) as fetcher:
                scope = Scope(settings)
                crawler = Crawler(ctx, settings, scope, frontier, archive, fetcher, earlier)
                await crawler.run()
        _check_reached(frontier)
        outcome = _outcome(ctx, frontier, {})
        if earlier is not None and earlier.damaged:
            note = f"{len(earlier.damaged)} pages of the earlier crawl are damaged there."
            return replace(outcome, notes=(*outcome.notes, note))
        return outcome


def _check_reached(frontier: Frontier) -> None:
    """Raise `Unreachable` where no page at all came; the next attempt then starts afresh."""
    if frontier.tallies().get("pages_fetched"):
        return
    frontier.set_meta("outcome", "unreachable")
    reasons = [f"{host}: {why}" for host, why in frontier.census.host_reasons().items()]
    more = len(reasons) - _SHOWN_HOSTS
    raise Unreachable(
        "Not one page could be fetched.",
        where="; ".join(reasons[:_SHOWN_HOSTS]) + (f"; and {more} more hosts" if more > 0 else ""),
        hint="Check the network, crawl.seeds and crawl.allowed_hosts; then resume the run.",
    )


def _outcome(ctx: PhaseContext, frontier: Frontier, inputs: dict[str, str]) -> Outcome:
    with frontier.guarded():
        digest = write_index(frontier, ctx.folder)
        figures = crawl_figures(frontier)
    notes = []
    if figures["urls_left_queued"]:
        notes.append(
            f"{figures['urls_left_queued']} URLs were left unfetched at the limit of "
            f"{ctx.settings.crawl.max_pages} pages."
        )
    if set_aside := sum(figures["deferred"].values()):
        notes.append(
            f"{set_aside} URLs were set aside: their hosts asked to be left alone for longer than "
            "crawl.max_retry_wait_s. A later run with crawl.revisit set to this one asks for them."
        )
    if not figures["pages_kept"]:
        notes.append("Pages were fetched, but their owners' rules let none of them be kept.")
    outputs = [ctx.folder / WARC_FOLDER / name for name in frontier.archives()]
    return Outcome(
        digest=digest,
        outputs=(*outputs, ctx.folder / FILE_NAME, ctx.folder / CDXJ_NAME),
        figures=figures,
        notes=tuple(notes),
        extra_inputs=inputs,
    )
