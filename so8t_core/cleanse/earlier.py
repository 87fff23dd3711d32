"""The corpus of earlier runs, against which new pages are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from so8t_core.cleanse.dedup import exact_key, sign
from so8t_core.cleanse.split import SPLITS
from so8t_core.contract.errors import InputInvalid, InputMissing
from so8t_core.contract.files import sha256_file

_BATCH_ROWS = 1000


@dataclass(frozen=True)
class EarlierText:
    """One document of an earlier run; its text is read when it is needed."""

    id: str
    exact: str
    signature: str
    file: Path
    row: int

    @property
    def text(self) -> str:
        """The document's text, from the file."""
        return _texts(self.file)[self.row]


@cache
def _texts(file: Path) -> list[str]:
    texts: list[str] = pq.read_table(file, columns=["text"])["text"].to_pylist()
    return texts


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

    def texts(self, permutations: int) -> list[EarlierText]:
        """Every document, signed.

        Raises `InputInvalid` for a file that is no corpus.
        """
        return [text for file in self.files for text in _signed(file, permutations)]


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


def _signed(file: Path, permutations: int) -> list[EarlierText]:
    found: list[EarlierText] = []
    try:
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(_BATCH_ROWS, columns=["id", "text"]):
                rows = batch.to_pylist()
                texts = [row["text"] for row in rows]
                for row, signature in zip(rows, sign(texts, permutations), strict=True):
                    exact = exact_key(row["text"])
                    found.append(EarlierText(row["id"], exact, signature, file, len(found)))
    except (pyarrow.ArrowInvalid, KeyError) as error:
        raise InputInvalid(
            "The corpus of an earlier run cannot be read.",
            where=str(file),
            hint="Take the run out of cleanse.earlier_runs, or cleanse it again.",
        ) from error
    return found
