"""Settings of the crawl section that say whom to trust, for how much, and what licences permit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from so8t_core.contract.settings.base import Section

LicenceDecision = Literal["allow", "allow-noncommercial", "deny", "unknown"]
"""What the policy makes of the licence marks on a page."""

GREATEST_TIER = 9


class LicenceSettings(Section):
    """Which licences permit what. Patterns are shell globs on ids such as `CC-BY-SA-4.0`."""

    deny: tuple[str, ...] = Field(
        ("CC-BY-ND-*", "CC-BY-NC-ND-*", "reproduction-prohibited"),
        description="Asked first: pages that are refused. `reproduction-prohibited` is a page "
        "that forbids copying in words (無断転載禁止) and names no licence.",
    )
    allow_noncommercial: tuple[str, ...] = Field(
        ("CC-BY-NC-*",), description="Asked second: pages for non-commercial use alone."
    )
    allow: tuple[str, ...] = Field(
        ("CC-BY-*", "CC0-*", "CC-PDM-*", "GPL-*", "LGPL-*", "GFDL-*", "PDL-*", "JGSL-*"),
        description="Asked last: pages that may be used freely. All else is `unknown`.",
    )
    keep: tuple[LicenceDecision, ...] = Field(
        ("allow", "allow-noncommercial", "unknown"),
        description="Decisions whose pages are kept; the others are refused and recorded.",
    )

    @field_validator("keep")
    @classmethod
    def _never_denied(cls, value: tuple[LicenceDecision, ...]) -> tuple[LicenceDecision, ...]:
        if "deny" in value:
            raise ValueError("must not contain `deny`: remove the licence from `deny` instead")
        if not value:
            raise ValueError("must name at least one decision")
        return value


class TierSettings(Section):
    """How far sources of one trust tier are followed."""

    max_pages: int | None = Field(
        None, ge=0, description="Pages to keep of this tier; null: only `crawl.max_pages` counts."
    )
    max_depth: int | None = Field(
        None, ge=0, description="Links from a seed at most; null: `crawl.max_depth`."
    )


class SourceSettings(Section):
    """One source: where it starts, how far it is trusted, and on what terms."""

    name: str = Field(min_length=1, max_length=80, description="What the source is called.")
    seeds: tuple[str, ...] = Field((), description="URLs where its crawl starts.")
    hosts: tuple[str, ...] = Field(
        (),
        description="Hosts that belong to it: `www.example.jp`, or `*.example.jp` for all below "
        "it. Empty: the hosts of its seeds.",
    )
    paths: tuple[str, ...] = Field(
        (), description="Beginnings of paths that are visited, such as `/ja/`. Empty: all."
    )
    tier: int = Field(
        2,
        ge=1,
        le=GREATEST_TIER,
        description="Trust tier; 1 is the most trusted and is crawled first.",
    )
    terms: str = Field(
        "",
        description="Address of its terms of use, for the person who reads the settings and for "
        "the record of each page.",
    )
    licence: str = Field(
        "",
        description="Licence id that its terms give to all of its pages (such as `PDL-1.0`); "
        "counts where a page itself names no licence, and needs `terms` as its evidence.",
    )
    delay_s: float = Field(
        0.0, ge=0, description="Least time between requests to one of its hosts, if longer."
    )
    max_pages: int | None = Field(
        None, ge=0, description="Pages to keep of each of its hosts; null: `host_max_pages`."
    )
    sitemaps: tuple[str, ...] = Field(
        (), description="Sitemaps or feeds to read besides those that robots.txt names."
    )
