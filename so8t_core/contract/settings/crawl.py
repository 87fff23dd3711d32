"""Settings of the crawl section: what is fetched, how politely, and what may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from so8t_core.contract.settings.base import AbsolutePath, Section

LicenceDecision = Literal["allow", "allow-noncommercial", "deny", "unknown"]
"""What the policy makes of the licence marks on a page."""


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


class CrawlSettings(Section):
    """Phase 1: which pages are fetched, how, and which are kept."""

    source: Literal["web", "demo", "warc"] = Field(
        "demo",
        description="`web` crawls `seeds`, `demo` the packaged site on loopback, `warc` reads "
        "`warc_files` (Common Crawl, or an earlier run) and fetches nothing.",
    )
    seeds: tuple[str, ...] = Field((), description="URLs where a crawl of the web starts.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts that may be fetched: `www.example.jp`, or `*.example.jp` for all "
        "below it. Empty: the hosts of the seeds.",
    )
    resolve: Mapping[str, str] = Field(
        default_factory=dict,
        description="Fixed addresses: `host: IP:PORT`. This alone permits private and loopback "
        "addresses, for these hosts only; the port never becomes part of a URL.",
    )
    warc_files: tuple[AbsolutePath, ...] = Field(
        (), description="WARC files, or folders of them, for `source: warc`."
    )

    contact: str = Field(
        "",
        description="An e-mail address or URL that site owners can turn to. Sent in the "
        "User-Agent; needed for `source: web`.",
    )
    product_token: str = Field(
        "SoEightBot",
        pattern=r"^[A-Za-z_-]+$",
        description="Our name in the User-Agent and in robots.txt. RFC 9309 permits letters, "
        "`_` and `-` only.",
    )
    ai_tokens: tuple[str, ...] = Field(
        (
            *("AI2Bot", "Applebot-Extended", "Bytespider", "CCBot", "ClaudeBot", "anthropic-ai"),
            *(
                "cohere-ai",
                "Diffbot",
                "Google-Extended",
                "GPTBot",
                "img2dataset",
                "Meta-ExternalAgent",
            ),
        ),
        description="Crawlers that gather text for training. What robots.txt forbids one of them "
        "by name is refused too, unless it names us.",
    )
    delay_s: float = Field(
        1.0, ge=0, description="Least time between two requests to a host; more by Crawl-delay."
    )
    max_crawl_delay_s: float = Field(
        30.0, gt=0, description="A host whose Crawl-delay is longer is refused, not hurried."
    )
    max_concurrency: int = Field(
        16, ge=1, le=1000, description="Requests at the same time over all hosts; one a host."
    )

    max_pages: int = Field(1000, ge=1, description="Pages to keep at most, in order of depth.")
    max_depth: int = Field(4, ge=0, description="Links from a seed at most; seeds have depth 0.")
    max_page_bytes: int = Field(
        5_000_000, ge=1024, description="A longer body, after decompression, is refused."
    )
    max_redirects: int = Field(5, ge=0, description="Redirects in a row at most; more are refused.")
    max_url_chars: int = Field(2000, ge=32, description="Longer URLs are refused.")
    max_path_repeats: int = Field(
        3, ge=1, description="A path that repeats a segment more often is taken for a trap."
    )
    content_types: tuple[str, ...] = Field(
        ("text/html", "application/xhtml+xml"), description="Media types that are kept."
    )
    skip_extensions: tuple[str, ...] = Field(
        (
            *("7z", "apk", "avi", "bin", "bmp", "bz2", "css", "csv", "deb", "dmg", "doc", "docx"),
            *("epub", "exe", "flac", "gif", "gz", "ico", "iso", "jar", "jpeg", "jpg", "js", "json"),
            *("m4a", "mov", "mp3", "mp4", "mpeg", "msi", "odt", "ogg", "pdf", "png", "ppt", "pptx"),
            *("ps", "rar", "rpm", "rss", "svg", "tar", "tgz", "tif", "tiff", "wav", "webm", "webp"),
            *("wmv", "woff", "woff2", "xls", "xlsx", "xml", "xz", "zip"),
        ),
        description="Links that end in one of these are refused unfetched.",
    )
    drop_parameters: tuple[str, ...] = Field(
        (
            *("utm_*", "fbclid", "gclid", "dclid", "yclid", "msclkid", "mc_cid", "mc_eid", "_ga"),
            *("igshid", "phpsessid", "jsessionid", "aspsessionid*", "cfid", "cftoken", "sessionid"),
            *("session_id", "sid"),
        ),
        description="Query parameters (globs, any case) that track or name a session; removed.",
    )

    connect_timeout_s: float = Field(10.0, gt=0, description="Longest wait for a connection.")
    read_timeout_s: float = Field(20.0, gt=0, description="Longest silence within a response.")
    fetch_timeout_s: float = Field(60.0, gt=0, description="Longest duration of one request.")
    max_retries: int = Field(
        3, ge=0, description="Further tries after 408, 429, 5xx or a network failure."
    )
    retry_base_s: float = Field(
        2.0, ge=0, description="Wait before the second try, doubled each time; Retry-After wins."
    )
    max_retry_wait_s: float = Field(
        300.0, ge=0, description="A host that asks for a longer wait is left for this run."
    )
    robots_max_age_s: float = Field(
        86_400.0, gt=0, le=86_400, description="robots.txt is asked for again after this."
    )

    warc_max_bytes: int = Field(
        1_000_000_000, ge=1_000_000, description="A WARC file is followed by the next beyond this."
    )
    licences: LicenceSettings = Field(
        default_factory=LicenceSettings, description="What licence marks permit."
    )

    @field_validator("resolve")
    @classmethod
    def _addresses(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for host, address in value.items():
            ip, _, port = address.rpartition(":")
            try:
                ip_address(ip.strip("[]"))
            except ValueError as error:
                raise ValueError(f"{host}: `{address}` must be IP:PORT") from error
            if not port.isdecimal() or not 0 < int(port) < 65_536:
                raise ValueError(f"{host}: `{address}` must be IP:PORT")
        return {host.lower(): address for host, address in value.items()}

    @model_validator(mode="after")
    def _fits_source(self) -> Self:
        if self.source == "web" and not self.seeds:
            raise ValueError("source `web` needs at least one URL in `seeds`")
        if self.source == "web" and not self.contact.strip():
            raise ValueError("source `web` needs `contact`, an e-mail address or URL")
        if self.source == "warc" and not self.warc_files:
            raise ValueError("source `warc` needs at least one file or folder in `warc_files`")
        if not self.contact.isprintable() or set(self.contact) & set("()<>;\\"):
            raise ValueError("`contact` must be one plain e-mail address or URL")
        return self
