"""Extraction of Japanese pages: how much of the body is found, how little else, and how fast.

    python benchmarks/extraction.py [--unpacked DIR] [--unseen] [--json OUT]

Pages of six Debian packages of Japanese documentation (see benchmarks/quality.py), up to 300 kB.
The truth is the page without the parts that its maker's own markup calls navigation: header and
footer rows, tables of contents, side bars, permanent links (selectors in `TRUTH`). A text's letters
and digits are compared as multisets of 8-character pieces: recall is the share of the body's pieces
that were found, precision the share of found ones that are the body's. Headings, list items and
table rows are counted where the text marks them. Beside trafilatura alone, in its fast and its
usual mode (`pip install trafilatura lxml_html_clean`); CPU time in one process.

`--unseen` takes four packages instead at which nobody looked while the extraction was written:
aptitude, Debian policy, a Javadoc and every tenth page of Scilab's help.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import trafilatura
from selectolax.lexbor import LexborHTMLParser

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.quality import PATTERNS, unpack
from so8t_core.cleanse.body import body_text
from so8t_core.cleanse.language import count_scripts
from so8t_core.cleanse.text import comparable, normalise

MOST_BYTES = 300_000
LEAST_JAPANESE = 300  # letters, for pages that end their sentences with a point
TRUTH: dict[str, tuple[str, str]] = {  # part of the path: root of the body, what is not the body
    "debian-reference": ("body", ".navheader, .navfooter, .toc, .list-of-tables, .list-of-figures"),
    "developers-reference": ("div.body", ".headerlink, .toctree-wrapper, .contents"),
    "FAQ": ("body", ".navheader, .navfooter, .toc"),
    "maint-guide": ("body", ".navheader, .navfooter, .toc"),
    "installation-guide": ("body", ".navheader, .navfooter, .toc"),
    "lilypond": (
        "#main, body",
        "#tocframe, #footer, .footer, .nav_table, .menu, .header, .contents, .toc_header, "
        ".languageheader, #search, form",
    ),
}  # fmt: skip

UNSEEN_PACKAGES = ("aptitude-doc-ja", "debian-policy-ja", "libjlha-java-doc-ja", "scilab-doc-ja")
UNSEEN_PATTERNS = (
    "usr/share/doc/aptitude/html/ja/*.html",
    "usr/share/doc/debian-policy/ja/policy.html/*.html",
    "usr/share/doc/libjlha-java-doc-ja/api/**/*.html",
    "scilab/**/*.html",
)
_SCILAB = "usr/share/scilab/modules/helptools/jar/scilab_ja_JP_help.jar"
_EVERY_SCILAB = 10
_JAVADOC_BAR = re.compile(
    "<!-- =+ START OF (?:TOP|BOTTOM) NAVBAR.*?END OF (?:TOP|BOTTOM) NAVBAR =+ -->", re.S
)
TRUTH |= {
    "aptitude": ("body", ".navheader, .navfooter, .toc, .list-of-figures, .list-of-tables"),
    "debian-policy": ("div.body", ".headerlink, .toctree-wrapper, .contents"),
    "libjlha": ("body", "nothing"),
    "scilab": ("body", ".manualnavbar, .path, .manualnavbar + table"),
}  # fmt: skip


def unpack_unseen(folder: Path) -> Path:
    """Download and unpack them; Scilab's pages are in an archive of their own."""
    root = unpack(folder, UNSEEN_PACKAGES)
    with zipfile.ZipFile(root / _SCILAB) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".html"))
        archive.extractall(root / "scilab", names[::_EVERY_SCILAB])
    return root


def truth(path: str, html: str) -> str:
    """The body by the maker's markup."""
    root, others = next(value for name, value in TRUTH.items() if name in path)
    tree = LexborHTMLParser(_JAVADOC_BAR.sub("", html) if "libjlha" in path else html)
    for node in tree.css(f"script, style, title, head, {others}"):
        node.decompose()
    body = tree.css_first(root.split(",")[0]) or tree.body
    return body.text(separator=" ") if body is not None else ""


def pieces(text: str) -> Counter[str]:
    """All stretches of eight letters and digits."""
    key = comparable(text)
    return Counter(key[place : place + 8] for place in range(len(key) - 7))


def pages(unpacked: Path, patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Path and source of each page whose body is Japanese prose of some length."""
    found = []
    for pattern in patterns:
        for path in sorted(unpacked.glob(pattern)):
            if path.is_symlink() or path.stat().st_size > MOST_BYTES:
                continue
            raw = path.read_bytes()
            html = raw.decode("cp932" if b"charset=Shift_JIS" in raw else "utf-8", "replace")
            body = truth(str(path), html)
            scripts = count_scripts(body)
            long = body.count("。") >= 5 or scripts.japanese >= LEAST_JAPANESE
            if long and scripts.share(scripts.japanese) > 0.3:
                found.append((str(path), html))
    return found


def measured(extract: Callable[[str], str | None], some: list[tuple[str, str]]) -> dict[str, Any]:
    """Recall, precision and milliseconds of an extractor."""
    recall, precision, empty = [], [], 0
    marks: Counter[str] = Counter()
    extract(some[0][1])
    started = time.process_time()
    texts = [extract(html) for _, html in some]
    seconds = time.process_time() - started
    for (path, html), text in zip(some, texts, strict=True):
        wanted, got = pieces(truth(path, html)), pieces(text or "")
        shared = (wanted & got).total()
        empty += not text
        recall.append(shared / max(1, wanted.total()))
        precision.append(shared / max(1, got.total()))
        for line in (text or "").split("\n"):
            marks["headings"] += line.startswith("#")
            marks["list items"] += line.lstrip().startswith(("- ", "• "))
            marks["table rows"] += line.startswith("|")
    scores = [2 * r * p / max(1e-9, r + p) for r, p in zip(recall, precision, strict=True)]
    return {
        "recall": round(mean(recall), 4),
        "precision": round(mean(precision), 4),
        "f1": round(mean(scores), 4),
        "f1_lowest_tenth": round(sorted(scores)[len(scores) // 10], 4),
        "pages_without_text": empty,
        "marked": dict(marks),
        "ms_a_page": round(seconds / len(some) * 1000, 2),
    }


def main() -> None:
    """Print all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpacked", type=Path)
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.unseen:
            some = pages(unpack_unseen(Path(folder)), UNSEEN_PATTERNS)
        else:
            some = pages(arguments.unpacked or unpack(Path(folder)), PATTERNS)

    def usual(html: str) -> str | None:
        text: str | None = trafilatura.extract(html, include_comments=False, include_tables=True)
        return text

    def fast(html: str) -> str | None:
        text: str | None = trafilatura.extract(
            html, fast=True, include_comments=False, include_tables=True
        )
        return text

    figures = {
        "pages": len(some),
        "characters_of_source_on_average": round(mean(len(html) for _, html in some)),
        "ours": measured(lambda html: normalise(body_text(LexborHTMLParser(html))), some),
        "trafilatura_fast": measured(fast, some),
        "trafilatura": measured(usual, some),
    }
    print(json.dumps(figures, indent=2, ensure_ascii=False))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
