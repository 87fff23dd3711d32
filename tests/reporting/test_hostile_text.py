"""Titles, URLs and reasons from outside stay text, whatever they hold."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from so8t_core.contract.phases import PhaseName
from so8t_core.phases import report
from so8t_core.reporting.markdown import escaped
from tests.reporting.made_run import context, make_run

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "</td></table><h1>owned",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "https://evil.example/ www.evil.example mailto:a@evil.example",
    "<https://evil.example>",
    "a | b | c",
    "`code` ``` fence",
    "**bold** __strong__ ~~gone~~ $x$",
    "line one\n# heading\n- item\n\n---",
    "\x1b[31mred\x1b]0;title\x07\x9b1m",
    "\u202egnp.exe \u2066x\u2069 zero\u200bwidth",
    "{{ 7 * 7 }} {% raw %}",
    "&lt;b&gt; &amp;#60;",
    "1. one",
    "- dash",
    "\\[x\\](y)",
    "lone \ud800 surrogate",
)


def hostile_run(root: Path) -> Path:
    figures: dict[PhaseName, dict[str, object]] = {
        "crawl": {
            "pages": [{"url": text, "title": text} for text in HOSTILE if "\ud800" not in text],
            "refused": {text: 1 for text in HOSTILE if "\ud800" not in text},
            **{text: text for text in HOSTILE if "\ud800" not in text},
        }
    }
    notes = tuple(text for text in HOSTILE if "\ud800" not in text)
    run, manifests = make_run(root, figures, notes=notes)
    report.run(context(run, manifests))
    return run.phase("report")


def spread(tokens: list[Token]) -> list[Token]:
    return [inner for token in tokens for inner in (token, *spread(token.children or []))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_run(tmp_path_factory.mktemp("hostile"))


def test_markdown_grows_no_markup(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    tokens = spread(MarkdownIt("gfm-like", {"html": True}).parse(text))
    kinds = {token.type for token in tokens}
    assert not kinds & {"link_open", "image", "html_inline", "html_block", "s_open", "em_open"}
    headings = [token for token in tokens if token.type == "heading_open"]
    assert sum(token.tag == "h1" for token in headings) == 1
    assert not any(token.tag == "hr" for token in tokens)


@pytest.mark.parametrize("text", HOSTILE)
def test_escaped_text_reads_as_it_was_written(text: str) -> None:
    from so8t_core.contract.plain import plain_text

    rows = f"| a | b |\n| --- | --- |\n| {escaped(text)} | end |\n\n- {escaped(text)}\n"
    tokens = spread(MarkdownIt("gfm-like", {"html": True}).parse(rows))
    cells = [token for token in tokens if token.type == "td_open"]
    assert len(cells) == 2
    texts = [
        "".join(child.content for child in token.children or [])
        for token in tokens
        if token.type == "inline"
    ]
    assert texts.count(plain_text(text)) == 2


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links.update(value or "" for name, value in attrs if name in {"href", "src"})


def test_html_grows_no_element_and_no_handler(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    seen = Tags()
    seen.feed(page)
    assert not seen.tags & {"script", "img", "iframe", "object", "link", "base", "form"}
    assert not any(name.startswith("on") for name in seen.attributes)
    assert all(link.startswith("#") for link in seen.links)
    assert page.count("<h1") == 1
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_no_control_or_bidi_character_is_written(folder: Path, name: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert not set(text) & set("\x1b\x07\x9b\u202e\u2066\u2069\u200b")
