"""The figures of a finished crawl, every one of them counted in the frontier."""

from __future__ import annotations

from typing import Any

from so8t_core.crawl.frontier import Frontier
from so8t_core.crawl.monitor import section


def crawl_figures(frontier: Frontier) -> dict[str, Any]:
    """What the manifest and the report say of a crawl.

    `pages_fetched` and all from `requests` to `active_s` count what happened, repeats
    after a kill among them; all the rest describes the result and is the same in every run.
    """
    tallies = frontier.tallies()
    counts = frontier.census.counts()
    return {
        "pages_kept": counts["kept"],
        "urls_seen": sum(counts.values()) - counts["kept"],
        "urls_left_queued": counts["queued"],
        "redirects": frontier.census.rules("done").get("redirect", 0),
        "refused": frontier.census.rules("refused"),
        "failed": frontier.census.rules("failed"),
        "deferred": frontier.census.rules("deferred"),
        "hosts": frontier.census.host_outcomes(),
        "licences": section(tallies, "kept.licence."),
        "licence_decisions": section(tallies, "kept.decision."),
        "charsets": section(tallies, "kept.charset."),
        "undecodable_chars": int(tallies.get("kept.undecodable", 0)),
        "robots": frontier.census.robots_outcomes(),
        "pages_unchanged": int(tallies.get("pages_unchanged", 0)),
        "listed_urls": int(tallies.get("listed_urls", 0)),
        "listed_left_out": int(tallies.get("listed_left_out", 0)),
        "listings_in_part": int(tallies.get("listings_in_part", 0)),
        "pages_fetched": int(tallies.get("pages_fetched", 0)),
        "requests": int(tallies.get("requests", 0)),
        "robots_requests": int(tallies.get("robots_requests", 0)),
        "retries": int(tallies.get("retries", 0)),
        "body_bytes": int(tallies.get("body_bytes", 0)),
        "status": section(tallies, "status."),
        "network_failures": section(tallies, "network."),
        "links_ignored": section(tallies, "links."),
        "warc_bytes": sum(frontier.archives().values()),
        "active_s": round(tallies.get("active_s", 0.0), 3),
    }
