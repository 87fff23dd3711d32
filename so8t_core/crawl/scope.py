"""Which canonical URLs a crawl may ask for at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.crawl.url import BadUrl, canonicalise, host_of


@dataclass(frozen=True)
class Refusal:
    """Why a URL was not fetched or its page not kept: the rule, whose rule, and its words."""

    rule: str
    source: str
    detail: str = ""


class Scope:
    """The settings' limits on URLs, before any server is asked."""

    def __init__(self, settings: CrawlSettings, seeds: tuple[str, ...]) -> None:
        self._settings = settings
        self._extensions = frozenset(settings.skip_extensions)
        named = settings.allowed_hosts or tuple(
            host_of(url) for url in map(self.canonical, seeds) if isinstance(url, str)
        )
        self._hosts = frozenset(host for host in named if not host.startswith("*."))
        self._suffixes = tuple(host[1:] for host in named if host.startswith("*."))

    def canonical(
        self, raw: str, *, base: str | None = None, query_encoding: str = "utf-8"
    ) -> str | BadUrl:
        """`canonicalise` under the settings' limits."""
        return canonicalise(
            raw,
            base=base,
            drop_parameters=self._settings.drop_parameters,
            max_chars=self._settings.max_url_chars,
            query_encoding=query_encoding,
        )

    def refuse(self, url: str) -> Refusal | None:
        """The setting that forbids this canonical URL, or None."""
        host = host_of(url)
        if host not in self._hosts and not host.endswith(self._suffixes or ("\0",)):
            return Refusal("scope", "crawl.allowed_hosts", host)
        path = url.split("/", 3)[3].partition("?")[0]
        extension = path.rpartition("/")[2].rpartition(".")[2].lower() if "." in path else ""
        if extension in self._extensions:
            return Refusal("extension", "crawl.skip_extensions", extension)
        repeats = Counter(segment for segment in path.split("/") if segment)
        if repeats and max(repeats.values()) > self._settings.max_path_repeats:
            return Refusal("path-loop", "crawl.max_path_repeats", repeats.most_common(1)[0][0])
        return None
