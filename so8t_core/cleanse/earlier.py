"""The corpus of earlier runs, against which new pages are compared."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as pq

from so8t_core.cleanse.dedup import sign
from so8t_core.cleanse.items import Items
from so8t_core.cleanse.ngrams import Places
from so8t_core.cleanse.split import SPLITS
from so8t_core.contract.errors import InputInvalid, InputMissing
from so8t_core.contract.files import sha256_file

_BATCH_ROWS = 1000


@dataclass(frozen=True)
class EarlierRuns:
    """Run directories (or cleanse folders) whose corpus counts as known."""

    folders: Sequence[Path]
    files: tuple[Path, ...] = field(init=False)

    def __post_init__(self) -> None:
        files = tuple(file for folder in self.folders for file in _corpus_files(folder))
        object.__setattr__(self, "files", files)

    def digests(self) -> dict[str, str]:
        """The hash of each corpus file, by a name that tells nothing of where it lies."""
        return {f"earlier_{number:03}": sha256_file(file) for number, file in enumerate(self.files)}

    def texts(self, permutations: int) -> EarlierTexts | None:
        """What new pages are compared with; None without earlier runs."""
        return EarlierTexts(self.files, permutations) if self.files else None


class EarlierTexts:
    """The documents of earlier runs; memory holds 8 bytes of each."""

    def __init__(self, files: Sequence[Path], permutations: int) -> None:
        self._files = files
        self._permutations = permutations
        self._ids = array("Q")

    def add_to(self, items: Items, tick: Callable[[], None]) -> Places:
        """Add every document to the texts that are compared; their numbers there.

        Raises `InputInvalid` for a file that is no corpus.
        """
        first = len(items)
        for file in self._files:
            for name, text, signature in _signed(file, self._permutations):
                tick()
                self._ids.append(name)
                items.add(text, signature)
        return np.arange(first, len(items))

    def id(self, number: int) -> str:
        """The id of a document, by its place among all."""
        return f"{self._ids[number]:016x}"


def _corpus_files(folder: Path) -> list[Path]:
    for corpus in (folder / "cleanse" / "corpus", folder / "corpus"):
        files = [corpus / f"{split}.parquet" for split in SPLITS]
        if all(file.is_file() for file in files):
            return files
    raise InputMissing(
        "An earlier run has no finished corpus.",
        where=str(folder),
        hint="Name run directories whose cleanse phase is done in cleanse.earlier_runs.",
    )


def _signed(file: Path, permutations: int) -> Iterator[tuple[int, str, str]]:
    """Id, text and signature of each document of a corpus."""
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(_BATCH_ROWS, columns=["id", "text"]):
                rows = batch.to_pylist()
                texts = [row["text"] for row in rows]
                ids = [int(row["id"], 16) for row in rows]
                yield from zip(ids, texts, sign(texts, permutations), strict=True)
    except (pyarrow.ArrowInvalid, KeyError, ValueError, OverflowError) as error:
        raise InputInvalid(
            "The corpus of an earlier run cannot be read.",
            where=str(file),
            hint="Take the run out of cleanse.earlier_runs, or cleanse it again.",
        ) from error
