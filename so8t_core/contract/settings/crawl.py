"""Settings of the crawl section: what is fetched, how politely, and what may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from so8t_core.contract.settings.base import AbsolutePath, Section
from so8t_core.contract.settings.crawl_policy import (
    GREATEST_TIER,
    LicenceSettings,
    SourceSettings,
    TierSettings,
)


class CrawlSettings(Section):
    """Phase 1: which pages are fetched, how, and which are kept."""

    source: Literal["web", "demo", "warc", "jsonl", "dataset"] = Field(
        "demo",
        description="`web` crawls `seeds`, `demo` the packaged site on loopback. The others fetch "
        "no page: `warc` reads `warc_files` (Common Crawl, or an earlier run), `jsonl` reads "
        "`jsonl_files`, `dataset` a Hugging Face data set.",
    )
    seeds: tuple[str, ...] = Field((), description="URLs where a crawl of the web starts.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Hosts that may be fetched: `www.example.jp`, or `*.example.jp` for all "
        "below it. Empty: the hosts of the seeds.",
    )
    sources: tuple[SourceSettings, ...] = Field(
        (),
        description="Sources with a trust tier, terms and limits of their own. `seeds` and "
        "`allowed_hosts` make one more, of tier 2 and without terms.",
    )
    tiers: Mapping[int, TierSettings] = Field(
        default_factory=dict, description="Limits of trust tiers, by their numbers."
    )
    resolve: Mapping[str, str] = Field(
        default_factory=dict,
        description="Fixed addresses: `host: IP:PORT`. This alone permits private and loopback "
        "addresses, for these hosts only; the port never becomes part of a URL.",
    )
    warc_files: tuple[AbsolutePath, ...] = Field(
        (), description="WARC files, or folders of them, for `source: warc`."
    )
    jsonl_files: tuple[AbsolutePath, ...] = Field(
        (), description="Files of one JSON object a line (.jsonl, .jsonl.gz), for `source: jsonl`."
    )
    dataset: str = Field(
        "",
        description="For `source: dataset`: a folder or Parquet file on this machine, or the name "
        "of a data set on the Hugging Face hub.",
    )
    dataset_split: str = Field("train", description="Its split.")
    text_field: str = Field("text", description="Field of a document's text, or HTML.")
    url_field: str = Field(
        "url", description="Field of its address; documents without one get an address of ours."
    )
    licence_field: str = Field(
        "license", description="Field of its licence; judged like a licence mark on a page."
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
    adaptive_delay: float = Field(
        1.0,
        ge=0,
        le=100,
        description="A slow host gets a longer delay: so many times what its answers take (moving "
        "average of the time to the headers). 0 turns it off.",
    )
    max_adaptive_delay_s: float = Field(
        10.0, ge=0, description="The most that slowness alone may lengthen a delay to."
    )
    address_delay_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Hosts on one IP address share it: it is asked at most once in this share of "
        "the host's delay.",
    )
    max_crawl_delay_s: float = Field(
        30.0, gt=0, description="A host whose Crawl-delay is longer is refused, not hurried."
    )
    max_concurrency: int = Field(
        16, ge=1, le=1000, description="Requests at the same time over all hosts; one a host."
    )

    max_pages: int = Field(1000, ge=1, description="Pages to keep at most, in order of depth.")
    max_depth: int = Field(4, ge=0, description="Links from a seed at most; seeds have depth 0.")
    host_max_pages: int | None = Field(
        None, ge=0, description="Pages to keep of one host at most; null: no limit of its own."
    )
    host_max_bytes: int | None = Field(
        None, ge=0, description="Bytes of bodies to take from one host at most; null: no limit."
    )
    host_max_s: float | None = Field(
        None,
        ge=0,
        description="Time to spend on one host at most, counted from its first request while the "
        "crawl runs; null: no limit. Which pages are kept then depends on the host's speed.",
    )
    max_page_bytes: int = Field(
        5_000_000, ge=1024, description="A longer body, after decompression, is refused."
    )
    max_page_links: int = Field(
        5_000,
        ge=1,
        description="Links of one page that are looked at; the others are counted (`too-many`).",
    )
    max_redirects: int = Field(5, ge=0, description="Redirects in a row at most; more are refused.")
    max_url_chars: int = Field(2000, ge=32, description="Longer URLs are refused.")
    max_path_repeats: int = Field(
        3, ge=1, description="A path that repeats a segment more often is taken for a trap."
    )
    max_query_parameters: int = Field(
        8, ge=0, description="A URL with more query parameters is taken for a trap."
    )
    max_urls_per_query_page: int = Field(
        200,
        ge=1,
        description="URLs that differ in their query alone are followed up to this number; more "
        "are taken for a trap (sorting, filters, sessions).",
    )
    calendar_years: int = Field(
        2,
        ge=0,
        description="A URL with a date (2031/04, 2031-04-05, year=2031) more than this many years "
        "ahead, or a year parameter before 1900, is taken for an endless calendar.",
    )
    max_urls_per_calendar: int = Field(
        400,
        ge=1,
        description="URLs that differ in a date in their path alone are followed up to this.",
    )
    sitemaps: bool = Field(
        True, description="Whether sitemaps that robots.txt names are read for URLs in scope."
    )
    feeds: bool = Field(True, description="Whether RSS and Atom feeds of pages are read for URLs.")
    max_sitemap_bytes: int = Field(
        50_000_000, ge=1024, description="A longer sitemap, after decompression, is read so far."
    )
    max_sitemap_urls: int = Field(
        50_000, ge=1, description="URLs that one sitemap may name; the rest is left out."
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
        300.0,
        ge=0,
        description="A host that asks for a longer wait is not asked for anything "
        "until then: its URLs are set aside, and the crawl goes on without them.",
    )
    breaker_failures: int = Field(
        5,
        ge=1,
        description="So many failures of a host in a row (5xx, network) and it is left alone.",
    )
    breaker_rest_s: float = Field(
        60.0, ge=0, description="For how long the first time; doubled each time it fails again."
    )
    breaker_openings: int = Field(
        3, ge=1, description="After so many such rests in a row the host is left for this run."
    )
    dns_ttl_s: float = Field(
        300.0, ge=0, description="How long a resolved (and checked) address is used."
    )
    robots_max_age_s: float = Field(
        86_400.0, gt=0, le=86_400, description="robots.txt is asked for again after this."
    )

    warc_max_bytes: int = Field(
        1_000_000_000, ge=1_000_000, description="A WARC file is followed by the next beyond this."
    )
    warc_retention_days: int | None = Field(
        None,
        ge=1,
        description="`so8t crawl expire` removes WARC files that are older; null: they are kept.",
    )
    revisit: AbsolutePath | None = Field(
        None,
        description="The `crawl` folder of an earlier run: its pages are asked for with their ETag "
        "or date, and unchanged ones are taken from there.",
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

    @field_validator("sources")
    @classmethod
    def _sound_sources(cls, value: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        names = [source.name for source in value]
        for source in value:
            if names.count(source.name) > 1:
                raise ValueError(f"two sources are called `{source.name}`")
            if not (source.seeds or source.hosts):
                raise ValueError(f"`{source.name}` needs `seeds` or `hosts`")
            if source.licence and not source.terms:
                raise ValueError(f"`{source.name}`: `licence` needs `terms` as its evidence")
        return value

    @field_validator("tiers")
    @classmethod
    def _sound_tiers(cls, value: Mapping[int, TierSettings]) -> Mapping[int, TierSettings]:
        if any(not 1 <= number <= GREATEST_TIER for number in value):
            raise ValueError(f"tiers are numbered from 1 to {GREATEST_TIER}")
        return value

    @model_validator(mode="after")
    def _fits_source(self) -> Self:
        if self.source == "web" and not (self.seeds or any(s.seeds for s in self.sources)):
            raise ValueError("source `web` needs at least one URL in `seeds`")
        if self.source == "web" and not self.contact.strip():
            raise ValueError("source `web` needs `contact`, an e-mail address or URL")
        if self.source == "warc" and not self.warc_files:
            raise ValueError("source `warc` needs at least one file or folder in `warc_files`")
        if self.source == "jsonl" and not self.jsonl_files:
            raise ValueError("source `jsonl` needs at least one file in `jsonl_files`")
        if self.source == "dataset" and not self.dataset:
            raise ValueError("source `dataset` needs a folder, file or name in `dataset`")
        if not self.contact.isprintable() or set(self.contact) & set("()<>;\\"):
            raise ValueError("`contact` must be one plain e-mail address or URL")
        return self
