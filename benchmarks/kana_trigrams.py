"""Builds the table of kana trigrams by which word salad is told from prose, and shows its effect.

    python benchmarks/kana_trigrams.py --out so8t_core/cleanse/kana_trigrams.npz

Downloads Debian packages of Japanese documentation with `apt-get download` (or takes unpacked ones
from --unpacked) and counts how kana and classes of other letters follow one another. What is kept
are rounded logarithms of these frequencies and nothing of the text. A fifth of the pages is held
out; printed is how their scores, and those of their words in random order, are spread.
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from resiliparse.extract.html2text import extract_plain_text

from so8t_core.cleanse.salad import (
    CLASSES,
    STEP,
    class_sequence,
    scored,
)

PACKAGES = ("gimp-help-ja", "libreoffice-help-ja", "manpages-ja", "debian-handbook")
PAGES = {
    "gimp": ("usr/share/gimp/2.0/help/ja/*.html", 400),
    "libreoffice": ("usr/share/libreoffice/help/ja/**/*.html", 800),
    "handbook": ("usr/share/doc/debian-handbook/html/ja-JP/*.html", 100),
    "manuals": ("usr/share/man/ja/man*/*.gz", 700),
}
_ROFF = (
    (re.compile(r'^\.\\".*$', re.M), ""),
    (re.compile(r"^[.'].{0,3}\s?", re.M), ""),
    (re.compile(r"\\f.|\\-|\\&|\\\(.."), ""),
    (re.compile(r"(?<=[ぁ-ん一-龥、])\n(?=[ぁ-ん一-龥ァ-ヶ])"), ""),
)
_WORDS = re.compile(r"[一-鿿々]+|[ァ-ヺー]+|[A-Za-z0-9]+|[ぁ-ゖ]{1,3}")


def unpack(folder: Path) -> Path:
    """Download and unpack the packages; nothing is installed."""
    subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, check=True)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "x")], check=True)
    return folder / "x"


def read(path: Path) -> str:
    """The text of a page or a manual."""
    if path.suffix == ".html":
        return str(extract_plain_text(path.read_text("utf-8"), main_content=True, alt_texts=False))
    text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
    for pattern, replacement in _ROFF:
        text = pattern.sub(replacement, text)
    return text


def texts(root: Path) -> Iterator[str]:
    """Japanese texts of some length, in a fixed order."""
    chance = random.Random(1)
    for pattern, limit in PAGES.values():
        paths = sorted(root.glob(pattern))
        chance.shuffle(paths)
        found = 0
        for path in paths:
            text = read(path)
            kana = len(re.findall("[ぁ-ヺ]", text))
            if len(text) > 300 and kana > 0.2 * len(text):
                yield text
                found += 1
                if found == limit:
                    break


def table(documents: list[str]) -> np.ndarray:
    """Logarithms of trigram probabilities, smoothed by bigrams and unigrams, in steps of STEP."""
    size = len(CLASSES)
    trigrams = np.zeros((size, size, size))
    for document in documents:
        line = class_sequence(document)
        np.add.at(trigrams, (line[:-2], line[1:-1], line[2:]), 1)
    bigrams = trigrams.sum(0)
    singles = bigrams.sum(0)
    one = (singles + 1) / (singles.sum() + size)
    two = (bigrams + 50 * one) / (bigrams.sum(1, keepdims=True) + 50)
    three = (trigrams + 10 * two) / (trigrams.sum(2, keepdims=True) + 10)
    return np.clip(np.round(-np.log(three) / STEP), 0, 255).astype(np.uint8)


def shuffled(text: str, chance: random.Random) -> str:
    """The words of a text in random order, cut into sentences."""
    words = _WORDS.findall(text[:3000])
    chance.shuffle(words)
    sentences, start = [], 0
    while start < len(words):
        size = chance.randrange(8, 20)
        sentences.append("".join(words[start : start + size]) + "。")
        start += size
    return "".join(sentences)


def main() -> None:
    """Count, write, and show what it tells apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--unpacked", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        documents = list(texts(arguments.unpacked or unpack(Path(folder))))
    chance = random.Random(2)
    chance.shuffle(documents)
    border = len(documents) * 4 // 5
    held_out = documents[border:]
    logs = table(documents[:border])
    for name, sample in (
        ("held-out pages", held_out),
        ("their words in random order", [shuffled(text, chance) for text in held_out]),
    ):
        scores = [scored(class_sequence(text), logs) for text in sample]
        shown = np.round(np.percentile(scores, [0, 1, 5, 50, 95, 99, 100]), 2)
        print(f"{name}: {len(scores)}, percentiles 0 1 5 50 95 99 100: {shown.tolist()}")
    np.savez_compressed(arguments.out, logs=table(documents))
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes of {len(documents)} texts")


if __name__ == "__main__":
    main()
