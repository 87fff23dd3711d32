"""Where samples come from: cleanse's Parquet files, or a data set of one's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from so8t_core.contract.errors import DataError
from so8t_core.training.formats import Format, Sample, answered, only_format, parse_row
from so8t_core.training.rows import read_rows

Split = Literal["train", "validation"]


@dataclass(frozen=True)
class Source:
    """Samples of one origin, in file order; `dropped` counts rows without a sample, by reason.

    `kind`: the format of a data set of one's own; `place`: where the user said that it is.
    """

    name: str
    samples: tuple[Sample, ...]
    dropped: Mapping[str, int]
    kind: Format | None = None
    place: str | None = None

    @property
    def where(self) -> str:
        """What an error names."""
        return self.place or f"cleanse/{self.name}"


def _collect(
    name: str,
    parsed: Iterable[Sample | str],
    kind: Format | None = None,
    place: str | None = None,
) -> Source:
    samples: list[Sample] = []
    dropped: Counter[str] = Counter()
    for sample in parsed:
        if isinstance(sample, str):
            dropped[sample] += 1
        else:
            samples.append(sample)
    return Source(name, tuple(samples), dict(dropped), kind, place)


def read_file(
    place: Path | str,
    format_name: Format | Literal["auto"],
    unanswered: Literal["refuse", "drop"] = "drop",
    setting: str = "train.dataset",
    alike: Format | None = None,
) -> Source:
    """A data set of one's own as one source named `file`; `setting` is what names its place.

    `alike`: the format of the data set beside it, from which `auto` then allows no other.
    Raises `DataError` when it holds no usable row, no known format or several, or, where that is
    refused, a row that has no answer; and as `read_rows` does.
    """
    rows = list(read_rows(place, setting))
    where = str(place)
    if not rows:
        raise DataError("The data set is empty.", where=where, hint=f"Give `{setting}` some rows.")
    kind = only_format(rows, where, alike) if format_name == "auto" else format_name
    parsed = [parse_row(row, kind) for row in rows]
    if unanswered == "refuse":
        _refuse_unanswered(parsed, where)
    source = _collect("file", parsed, kind, where)
    if not source.samples:
        raise DataError(
            f"None of the {len(rows)} rows gives a sample in the format {kind}: {source.dropped}.",
            where=where,
            hint=f"The first row has the fields {', '.join(sorted(rows[0]))}; look at its values, "
            "or set `train.dataset_format`.",
        )
    return source


def _refuse_unanswered(parsed: Sequence[Sample | str], where: str) -> None:
    numbers = [number for number, sample in enumerate(parsed, 1) if sample == "no_answer"]
    if numbers and len(numbers) < len(parsed):  # a set without any answer is an error of its own
        raise DataError(
            f"{len(numbers)} of the {len(parsed)} rows have no answer, the first is row "
            f"{numbers[0]}.",
            where=where,
            hint="Mend or remove them, or set `train.unanswered_rows: drop`, which counts them.",
        )


def read_cleansed(folder: Path, split: Split) -> tuple[Source, ...]:
    """Cleanse's instruction pairs, safety rows, documents and thinking answers of a split.

    A safety row asks with its text and is answered with its response; one without a response
    teaches nothing and is counted. Raises `InputMissing` where a file is not there.
    """

    def rows(kind: str) -> Iterator[dict[str, Any]]:
        return read_rows(folder / kind / f"{split}.parquet")

    return (
        _collect("instruction", (parse_row(row, "alpaca") for row in rows("instruction"))),
        _collect("safety", (answered(str(row["text"]), row["response"]) for row in rows("safety"))),
        _collect("corpus", (parse_row(row, "text") for row in rows("corpus"))),
        _collect("thinking", (parse_row(row, "alpaca") for row in rows("thinking"))),
    )
