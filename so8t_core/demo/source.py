"""The site as it lies on disk: `pages/HOST/site.yaml`, `robots.txt` and one Markdown file a page.

A page `pages/www/seasons/hanami.md` is served as `http://www.so8t-demo.example/seasons/hanami.html`,
an `index.md` as its folder. The YAML front matter says everything that tests may want to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from so8t_core.contract.errors import DataError

DOMAIN = "so8t-demo.example"
PAGES = Path(__file__).parent / "pages"

Licence = Literal["cc-by", "cc-by-sa", "cc0", "cc-by-nc-nd", "reserved", "none"]
Access = Literal["open", "disallowed", "nofollow", "sitemap"]
"""How a crawler comes to a page: by links; robots.txt forbids it; only a nofollow link leads to
it; only the sitemap names it."""
PersonalKind = Literal[
    "name", "email", "phone", "postal", "address", "my_number", "card", "birthday", "account", "ip"
]
Flag = Literal["adult", "drugs", "weapons", "fraud", "intrusion", "violence"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_Meta = TypeVar("_Meta", bound=_Strict)


class Planted(_Strict):
    """A made-up piece of personal data, exactly as it stands in the page's text."""

    kind: PersonalKind
    value: str


class PageMeta(_Strict):
    """Front matter of a page."""

    title: str
    description: str = ""
    updated: date = date(2026, 4, 1)
    licence: Licence | None = None  # the host's, when None
    structured: Literal["faq", "howto"] | None = None  # schema.org JSON-LD
    access: Access = "open"
    robots: str = ""  # <meta name="robots">
    x_robots: str = ""  # X-Robots-Tag
    tdm_reserved: bool = False  # <meta name="tdm-reservation" content="1">
    charset: Literal["utf-8", "cp932", "euc_jp", "iso2022_jp"] = "utf-8"
    charset_declared: Literal["header", "meta", "nowhere"] = "header"
    retry_after_s: int = 0  # answer 503 with this Retry-After, once
    ai_disallowed: bool = False  # robots.txt has groups for AI crawlers that disallow it
    copy_of: str = ""  # serve the very bytes of that path
    near: str = ""  # the body of that path, with `edits`
    edits: tuple[tuple[str, str], ...] = ()
    personal: tuple[Planted, ...] = ()
    public: tuple[str, ...] = ()  # looks like personal data and is not: must survive masking
    flaw: str = ""  # why a quality filter must drop it
    flag: Flag | None = None  # why a safety filter must label it


class Redirect(_Strict):
    """A redirecting path."""

    status: Literal[301, 302, 303, 307, 308]
    to: str


class HostMeta(_Strict):
    """`site.yaml` of a host."""

    name: str
    tagline: str
    licence: Licence
    template: str
    redirects: dict[str, Redirect] = {}
    gone: tuple[str, ...] = ()  # linked, answered 410
    missing: tuple[str, ...] = ()  # linked, answered 404
    forbidden: tuple[str, ...] = ()  # linked, no page behind it, disallowed by robots.txt
    forbidden_prefixes: tuple[str, ...] = ()  # whole parts of the host that robots.txt disallows
    files: dict[str, str] = {}  # path of a file below the host's folder: its content type
    month_chains: dict[str, int] = {}  # path prefix of an endless-looking chain: its length


@dataclass(frozen=True)
class Page:
    """One page: where it is served, what its front matter says, its Markdown."""

    host: str
    path: str
    meta: PageMeta
    body: str

    @property
    def url(self) -> str:
        return f"http://{self.host}{self.path}"

    @property
    def folder(self) -> str:
        """Path up to and including the last slash."""
        return self.path[: self.path.rindex("/") + 1]

    @property
    def is_index(self) -> bool:
        return self.path.endswith("/")


@dataclass(frozen=True)
class Host:
    """One host name with its pages, sorted by path."""

    name: str
    folder: Path
    meta: HostMeta
    robots_txt: str
    pages: tuple[Page, ...]

    def licence_of(self, page: Page) -> Licence:
        """The page's own licence mark, or the host's."""
        return page.meta.licence or self.meta.licence


@cache
def load_hosts() -> tuple[Host, ...]:
    """Every host of the site, in alphabetical order. Raises DataError on a malformed source."""
    folders = sorted(folder for folder in PAGES.iterdir() if folder.is_dir())
    return tuple(_load_host(folder) for folder in folders)


def _load_host(folder: Path) -> Host:
    name = f"{folder.name}.{DOMAIN}"
    meta_file = folder / "site.yaml"
    meta = _validated(HostMeta, meta_file.read_text(encoding="utf-8"), meta_file)
    drafts = [_load_page(name, folder, file) for file in sorted(folder.rglob("*.md"))]
    bodies = {page.path: page.body for page in drafts}
    pages = [_with_body(page, bodies) for page in drafts]
    return Host(
        name=name,
        folder=folder,
        meta=meta,
        robots_txt=(folder / "robots.txt").read_text(encoding="utf-8"),
        pages=tuple(sorted(pages, key=lambda page: page.path)),
    )


def _load_page(host: str, root: Path, file: Path) -> Page:
    text = file.read_text(encoding="utf-8").removeprefix("---\n")
    head, separator, body = text.partition("\n---\n")
    if not separator:
        raise DataError("A demo page has no front matter.", where=str(file))
    meta = _validated(PageMeta, head, file)
    served = file.relative_to(root).with_suffix(".html").as_posix()
    path = "/" + (served.removesuffix("index.html") if file.name == "index.md" else served)
    return Page(host, path, meta, body.strip())


def _with_body(page: Page, bodies: dict[str, str]) -> Page:
    """Resolve `near`: the other page's Markdown with every edit applied."""
    if not page.meta.near:
        return page
    body = bodies[page.meta.near]
    for old, new in page.meta.edits:
        if old not in body:
            raise DataError(f"An edit finds no {old!r} in {page.meta.near}.", where=page.url)
        body = body.replace(old, new)
    return Page(page.host, page.path, page.meta, body)


def _validated(model: type[_Meta], text: str, file: Path) -> _Meta:
    try:
        return model.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise DataError(f"A demo page's YAML is wrong: {error}", where=str(file)) from error
