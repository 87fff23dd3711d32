"""What the ablation trains and judges on, as token arrays, and the model in files to carry.

A document is a passage of a page: whole lines, up to 700 characters. Pages, not passages, are
divided into train, validation and test, and a line that stands in a training page is taken out of
the other two. English text is never trained on: it measures what the base forgets.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PASSAGE_CHARACTERS = 700
VALIDATION, TEST = 0.08, 0.12
ENGLISH_PACKAGES = ("debian-handbook", "fortunes", "miscfiles")
HANDBOOK = "usr/share/doc/debian-handbook/html/en-US/*.html"
SAYINGS = ("art", "education", "law", "people", "science", "wisdom")
STATE_PAPERS = ("us-constitution", "us-declaration")
PARTS = 2
MODEL = "model.gguf"
Ids = NDArray[np.uint16]


@dataclass(frozen=True)
class Corpus:
    """Token ids; each document of `train` ends in the end-of-text token.

    `train`: uint16 (tokens,), its documents at `bounds`: int64 (documents + 1,). `judged`: streams
    by name. `token_bytes`: uint8 (vocabulary,), the bytes of text that a token stands for.
    """

    train: Ids
    bounds: NDArray[np.int64]
    judged: dict[str, Ids]
    token_bytes: NDArray[np.uint8]

    @classmethod
    def load(cls, folder: Path) -> Corpus:
        """Read what `write` wrote."""
        judged = {
            path.stem.removeprefix("judged_"): np.load(path)
            for path in sorted(folder.glob("judged_*.npy"))
        }
        return cls(
            np.load(folder / "train.npy"),
            np.load(folder / "bounds.npy"),
            judged,
            np.load(folder / "token_bytes.npy"),
        )

    def write(self, folder: Path) -> None:
        """Write the arrays, and their counts as corpus.json."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "train.npy", self.train)
        np.save(folder / "bounds.npy", self.bounds)
        np.save(folder / "token_bytes.npy", self.token_bytes)
        for name, ids in self.judged.items():
            np.save(folder / f"judged_{name}.npy", ids)
        (folder / "corpus.json").write_text(json.dumps(self.facts(), indent=1) + "\n")

    def facts(self) -> dict[str, Any]:
        """Counts, and the digest of all arrays."""
        content = hashlib.sha256()
        for array in (self.train, self.bounds, self.token_bytes, *self.judged.values()):
            content.update(np.ascontiguousarray(array).tobytes())
        return {
            "train_documents": len(self.bounds) - 1,
            "train_tokens": len(self.train),
            "train_bytes": int(self.token_bytes[self.train].sum(dtype=np.int64)),
            "judged_tokens": {name: len(ids) for name, ids in self.judged.items()},
            "sha256": content.hexdigest(),
        }

    def rows(self, name: str, length: int, most: int) -> NDArray[np.int64]:
        """Up to `most` rows of a judged stream, evenly from all of it: (rows, length)."""
        ids = self.judged[name]
        whole = ids[: len(ids) // length * length].reshape(-1, length)
        picked = np.unique(np.linspace(0, len(whole) - 1, min(most, len(whole))).round())
        return whole[picked.astype(np.int64)].astype(np.int64)

    def training_rows(
        self, count: int, length: int, seed: int, documents: int | None
    ) -> NDArray[np.int64]:
        """The first `count` rows of a training, a function of its arguments: (count, length).

        With `documents` only so many are drawn, by the seed; passes over them follow one another,
        each in an order of its own.
        """
        total = len(self.bounds) - 1
        drawn = np.random.default_rng([seed, 0]).permutation(total)[:documents]
        pieces: list[Ids] = []
        tokens, number = 0, 1
        while tokens < count * length:
            for index in np.random.default_rng([seed, number]).permutation(drawn):
                pieces.append(self.train[self.bounds[index] : self.bounds[index + 1]])
                tokens += len(pieces[-1])
            number += 1
        stream = np.concatenate(pieces)[: count * length]
        return stream.reshape(count, length).astype(np.int64)


def passages(page: str) -> list[str]:
    """Whole lines of a page, together up to `PASSAGE_CHARACTERS`; a longer line stands alone."""
    found: list[str] = []
    lines: list[str] = []
    for line in page.split("\n"):
        if lines and sum(map(len, lines)) + len(line) > PASSAGE_CHARACTERS:
            found.append("\n".join(lines))
            lines = []
        if line.strip():
            lines.append(line)
    return [*found, "\n".join(lines)] if lines else found


def divide(pages: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Passages of train, validation and test, by page; no long line of train stands elsewhere."""
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for page in pages:
        place = int(hashlib.sha256(page.encode()).hexdigest()[:8], 16) / 2**32
        which = 2 if place < TEST else 1 if place < TEST + VALIDATION else 0
        parts[which].append(page)
    known = {line for page in parts[0] for line in page.split("\n") if len(line) >= 20}
    fresh = [
        ["\n".join(line for line in page.split("\n") if line not in known) for page in part]
        for part in parts[1:]
    ]
    train, validation, test = (
        [text for page in part for text in passages(page)] for part in (parts[0], *fresh)
    )
    return train, validation, test


def english(unpacked: Path) -> dict[str, list[str]]:
    """Two kinds of English: a book about Debian, and sayings with two state papers."""
    from so8t_core.cleanse.extract import extract
    from so8t_core.contract.settings.cleanse import CleanseSettings

    book = []
    for path in sorted(unpacked.glob(HANDBOOK)):
        found = extract(path.read_text("utf-8"), path.as_uri(), CleanseSettings())
        book += passages(found.text) if found else []
    prose: list[str] = []
    for name in STATE_PAPERS:
        text = gzip.decompress((unpacked / f"usr/share/state/{name}.gz").read_bytes()).decode()
        prose += passages(text.replace("\r", ""))
    for name in SAYINGS:
        text = (unpacked / "usr/share/games/fortunes" / name).read_text("utf-8")
        prose += [one.strip() for one in text.replace("\t", " ").split("\n%\n")]
    return {"english_technical": book, "english_prose": [text for text in prose if text]}


def _fetched(packages: tuple[str, ...], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "download", "-q", *packages], cwd=folder, check=True)
    for package in sorted(folder.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(folder / "x")], check=True)
    return folder / "x"


def _encode(tokenizer: Any, texts: list[str]) -> tuple[Ids, NDArray[np.int64]]:
    encoded = [
        [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
        for text in texts
    ]
    bounds = np.concatenate([[0], np.cumsum([len(ids) for ids in encoded])]).astype(np.int64)
    return np.concatenate([np.array(ids, np.uint16) for ids in encoded]), bounds


def token_bytes(tokenizer: Any) -> NDArray[np.uint8]:
    """Bytes of each token of a byte-level vocabulary, one letter a byte; none for special ones."""
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return np.array([0 if i in special else len(t) for i, t in enumerate(tokens)], np.uint8)


def prepare(out: Path, japanese: Path | None, other: Path | None) -> dict[str, Any]:
    """Write OUT/part0, part1: the model in two files, and the arrays beside the first.

    `japanese`, `other`: folders of unpacked packages; without them the packages are downloaded.
    """
    from benchmarks.quality import PACKAGES, body_pages
    from so8t_core.contract.settings.model import ModelSettings
    from so8t_core.model.base import resolve_base
    from so8t_core.model.loading import load_tokenizer
    from so8t_core.model.starter import starter_source

    with tempfile.TemporaryDirectory() as place:
        pages, _ = body_pages(japanese or _fetched(PACKAGES, Path(place) / "ja"))
        texts = english(other or _fetched(ENGLISH_PACKAGES, Path(place) / "en"))
    train, validation, test = divide(pages)
    tokenizer = load_tokenizer(resolve_base(ModelSettings(base="starter"), seed=0))
    ids, bounds = _encode(tokenizer, train)
    held_out = {"validation": validation, "test": test, **texts}
    judged = {name: _encode(tokenizer, part)[0] for name, part in held_out.items()}
    corpus = Corpus(ids, bounds, judged, token_bytes(tokenizer))
    for name, part in (("train", train), *held_out.items()):
        size = sum(len(text.encode()) for text in part)
        stream = ids if name == "train" else judged[name]
        counted = int(corpus.token_bytes[stream].sum(dtype=np.int64))
        assert counted == size, f"{name}: tokens stand for {counted} of {size} bytes"
    corpus.write(out / "part0" / "data")
    content = starter_source().read_bytes()
    step = -(-len(content) // PARTS)
    for number in range(PARTS):
        (out / f"part{number}").mkdir(exist_ok=True)
        piece = content[number * step : (number + 1) * step]
        (out / f"part{number}" / f"{MODEL}.{number}").write_bytes(piece)
    return {**corpus.facts(), "pages": len(pages), "model_bytes": len(content)}
