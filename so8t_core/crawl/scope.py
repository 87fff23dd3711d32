"""Which canonical URLs a crawl may ask for at all, and which source each belongs to."""

from __future__ import annotations

from typing import Literal

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.contract.settings.crawl_policy import SourceSettings, TierSettings
from so8t_core.crawl.refusal import Refusal
from so8t_core.crawl.traps import Traps
from so8t_core.crawl.url import BadUrl, Linker, canonicalise, host_of

_PLACED_KEPT = 20_000
_PLAIN_SOURCE = "seeds"
_NO_LIMITS = TierSettings()


class Scope:
    """The settings' limits on URLs, before any server is asked."""

    def __init__(self, settings: CrawlSettings) -> None:
        self._settings = settings
        self._extensions = frozenset(settings.skip_extensions)
        self._traps = Traps(settings)
        plain = SourceSettings(
            name=_PLAIN_SOURCE, seeds=settings.seeds, hosts=settings.allowed_hosts
        )
        self._sources = (*settings.sources, plain)
        self._exact: dict[str, SourceSettings] = {}
        self._below: dict[str, SourceSettings] = {}
        for source in self._sources:
            for host in self._hosts_of(source):
                known = self._below if host.startswith("*.") else self._exact
                known.setdefault(host.removeprefix("*."), source)
        self._placed: dict[str, tuple[str, int, Refusal | None]] = {}
        self._found: dict[str, SourceSettings | None] = {}

    def _hosts_of(self, source: SourceSettings) -> tuple[str, ...]:
        seeds = map(self.canonical, source.seeds)
        return source.hosts or tuple(host_of(url) for url in seeds if isinstance(url, str))

    def canonical(self, raw: str) -> str | BadUrl:
        """`canonicalise` an absolute URL under the settings' limits."""
        return canonicalise(
            raw,
            drop_parameters=self._settings.drop_parameters,
            max_chars=self._settings.max_url_chars,
        )

    def linker(self, base: str, query_encoding: str = "utf-8") -> Linker:
        """The same for links that are relative to a canonical URL."""
        return Linker(
            base,
            drop_parameters=self._settings.drop_parameters,
            max_chars=self._settings.max_url_chars,
            query_encoding=query_encoding,
        )

    def seeds(self) -> tuple[tuple[str, Literal["page", "sitemap"]], ...]:
        """Every seed as it is written, with what it is: `page` or `sitemap`."""
        found: list[tuple[str, Literal["page", "sitemap"]]] = []
        for source in self._sources:
            found.extend((url, "page") for url in source.seeds)
            found.extend((url, "sitemap") for url in source.sitemaps)
        return tuple(found)

    def source_of(self, host: str) -> SourceSettings | None:
        """The source that a host belongs to: by its name, then by the nearest name above it."""
        if host not in self._found:
            if len(self._found) > 100_000:
                self._found.clear()
            self._found[host] = self._look_up(host)
        return self._found[host]

    def _look_up(self, host: str) -> SourceSettings | None:
        if host in self._exact:
            return self._exact[host]
        labels = host.split(".")
        above = (".".join(labels[place:]) for place in range(1, len(labels)))
        return next((self._below[name] for name in above if name in self._below), None)

    def place(self, url: str, *, is_page: bool = True) -> tuple[str, int, Refusal | None]:
        """Host and trust tier of a canonical URL, and the setting that forbids it.

        What is out of scope has the tier of plain seeds. Paths and extensions bind pages alone, not
        sitemaps and feeds.
        """
        known = self._placed.get(url) if is_page else None
        if known is not None:
            return known
        host = host_of(url)
        source = self.source_of(host)
        if source is None:
            return host, self._sources[-1].tier, Refusal("scope", "crawl.allowed_hosts", host)
        placed = host, source.tier, self._refuse(url, source) if is_page else None
        if is_page:
            if len(self._placed) >= _PLACED_KEPT:
                self._placed.clear()
            self._placed[url] = placed
        return placed

    def max_depth(self, tier: int) -> int:
        """Links from a seed that are followed in a tier."""
        limit = self._settings.tiers.get(tier, _NO_LIMITS).max_depth
        return self._settings.max_depth if limit is None else limit

    def tier_max_pages(self, tier: int) -> int | None:
        """Pages to keep of a tier."""
        return self._settings.tiers.get(tier, _NO_LIMITS).max_pages

    def host_max_pages(self, host: str) -> int | None:
        """Pages to keep of a host."""
        source = self.source_of(host)
        own = source.max_pages if source is not None else None
        return self._settings.host_max_pages if own is None else own

    def refuse(self, url: str) -> Refusal | None:
        """The setting that forbids the page of a canonical URL, or None."""
        return self.place(url)[2]

    def _refuse(self, url: str, source: SourceSettings) -> Refusal | None:
        path, _, query = url.split("/", 3)[3].partition("?")
        if source.paths and not f"/{path}".startswith(source.paths):
            return Refusal("scope", f"crawl.sources, {source.name}: paths", f"/{path}"[:200])
        if "." in path:
            extension = path.rpartition("/")[2].rpartition(".")[2].lower()
            if extension in self._extensions:
                return Refusal("extension", "crawl.skip_extensions", extension)
        return self._traps.refuse(path, query)
