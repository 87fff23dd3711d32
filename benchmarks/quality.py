"""How many real body pages survive each preset, and how many bad texts do not.

    python benchmarks/quality.py [--unpacked DIR] [--json OUT]

Downloads six Debian packages of Japanese documentation with `apt-get download` (or takes unpacked
ones), extracts their pages as the first pass does, and takes as body pages those with at least
five sentences that end in 。 and at least half of their letters Japanese; pages above 1.5 MB are
left out.
The bad texts are made by tests/cleanse/bad_pages.py, 60 of each kind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from so8t_core.cleanse.extract import extract
from so8t_core.cleanse.quality import PRESETS, reject
from so8t_core.cleanse.quality_measures import japanese_share
from so8t_core.cleanse.quality_sample import Sample
from so8t_core.cleanse.text import is_mojibake
from so8t_core.contract.settings.cleanse import CleanseSettings
from tests.cleanse.bad_pages import bad_pages

PACKAGES = (
    "debian-reference-ja",
    "developers-reference-ja",
    "debian-faq-ja",
    "maint-guide-ja",
    "installation-guide-amd64",
    "lilypond-doc-html-ja",
)
PATTERNS = (
    "usr/share/debian-reference/*.html",
    "usr/share/developers-reference/ja/*.html",
    "usr/share/doc/debian/FAQ/ja/*.html",
    "usr/share/doc/maint-guide-ja/html/*.html",
    "usr/share/doc/installation-guide-amd64/ja/*.html",
    "usr/share/doc/lilypond/html/**/*.ja.html",
)
MOST_BYTES = 1_500_000


def unpack(folder: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """Download and unpack the packages; nothing is installed."""
    subprocess.run(["apt-get", "download", *packages], cwd=folder, check=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "x")], check=True)
    return folder / "x"


def body_pages(root: Path) -> tuple[list[str], int]:
    """The texts of body pages, and how many pages there are."""
    settings = CleanseSettings()
    paths = sorted(
        path
        for pattern in PATTERNS
        for path in root.glob(pattern)
        if not path.is_symlink() and path.stat().st_size <= MOST_BYTES
    )
    texts = []
    for path in paths:
        found = extract(path.read_text("utf-8", errors="replace"), path.as_uri(), settings)
        text = found.text if found else ""
        if text.count("。") >= 5 and japanese_share(Sample(text)) >= 0.5:
            texts.append(text)
    return texts, len(paths)


def main() -> None:
    """Print a row for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpacked", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good, pages = body_pages(arguments.unpacked or unpack(Path(folder)))
    bad = bad_pages(seed=11, each=60)
    print(f"{len(good)} body pages of {pages}; {len(bad)} bad texts")
    figures: dict[str, Any] = {"pages": pages, "body_pages": len(good), "bad_texts": len(bad)}
    for name, preset in PRESETS.items():
        reasons = Counter(reject(text, preset) for text in good)
        kept = Counter(
            kind for kind, text in bad if not is_mojibake(text) and reject(text, preset) is None
        )
        survived = reasons.pop(None, 0) / len(good)
        dropped = 1 - kept.total() / len(bad)
        figures[name] = {
            "survived": survived,
            "dropped": dropped,
            "reasons": dict(reasons),
            "bad_kept": dict(kept),
        }
        print(
            f"{name:<13} keeps {survived:.3f} of the good, drops {dropped:.3f} of the bad; "
            f"good lost: {dict(reasons)}; bad kept: {dict(kept)}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
