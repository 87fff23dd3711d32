"""The tables of docs/evidence.md from the ablation's results; nothing in them is typed in."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.ablation_training import best_point, score

BEGIN, END = "<!-- ablation: begin -->", "<!-- ablation: end -->"
Result = dict[str, Any]
ENGLISH = ("english_technical", "english_prose")


def interval(values: Sequence[float], digits: int = 3) -> str:
    """Mean and half the width of the 95 % t-interval; the mean alone where there is one value."""
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) < 2:
        return f"{mean} (one seed)"
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    few = "" if len(values) >= 3 else f" ({len(values)} seeds)"
    return f"{mean} ± {half:.{digits}f}{few}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


class Results:
    """All lines of one or more runs."""

    def __init__(self, files: Sequence[Path]) -> None:
        lines = [json.loads(line) for f in files for line in f.read_text("utf-8").splitlines()]
        self.base = next(line for line in lines if line["name"] == "base")
        self.cells: list[Result] = [line for line in lines if line["name"] != "base"]

    def judged(self, name: str, part: str, documents: int | None = None) -> list[Result]:
        """The judged trainings of a method, by seed; those that diverged too."""
        found = [
            cell
            for cell in self.cells
            if (cell["name"], cell["part"], cell["role"], cell["documents"])
            == (name, part, "judge", documents)
        ]
        return sorted(found, key=lambda cell: cell["seed"])

    def names(self, part: str) -> list[str]:
        """The methods of a part that were judged, in their order."""
        return list(
            dict.fromkeys(
                cell["name"]
                for cell in self.cells
                if cell["part"] == part and cell["role"] == "judge"
            )
        )

    def base_score(self, name: str) -> float:
        """The untrained base's bits per byte."""
        return float(self.base["points"][0][name])


def _scores(cells: Sequence[Result], name: str) -> list[float]:
    return [score(cell, name) for cell in cells]


def _rates(cell: Result) -> str:
    return " / ".join(f"{rate:.2g}" for rate in (cell["rate"], cell["gate_rate"]) if rate)


def _difference(cells: Sequence[Result], other: Sequence[Result], name: str) -> str:
    """Of the same seeds, hence of the same documents in the same order."""
    by_seed = {cell["seed"]: score(cell, name) for cell in other}
    pairs = [score(cell, name) - by_seed[cell["seed"]] for cell in cells if cell["seed"] in by_seed]
    return interval(pairs) if pairs else ""


def _row(results: Results, cells: Sequence[Result], reference: Sequence[Result]) -> list[str]:
    first = cells[0]
    return [
        first["name"],
        f"{first['parameters']:,}",
        _rates(first),
        interval(_scores(cells, "test")),
        "" if cells == reference else _difference(cells, reference, "test"),
        *(
            interval([s - results.base_score(name) for s in _scores(cells, name)])
            for name in ENGLISH
        ),
        _angle(cells),
    ]


def _angle(cells: Sequence[Result]) -> str:
    found = [cell["rotation_angle_mean"] for cell in cells]
    return "" if None in found else f"{np.mean(found):.2f}"


_HEAD = (
    "trained",
    "parameters",
    "learning rate, gates'",
    "Japanese",
    "minus LoRA r 64",
    "English, technical: change",
    "English, prose: change",
    "mean rotation",
)


def _devices(results: Results) -> str:
    made = Counter(cell["device"] for cell in results.cells)
    return ", ".join(f"{device} ({count} trainings)" for device, count in made.items())


def main_table(results: Results) -> str:
    """Part a: the methods at their best rates."""
    reference = results.judged("LoRA r 64", "a")
    rows = [_row(results, results.judged(n, "a"), reference) for n in results.names("a")]
    base = ["base", "0", "", *(f"{results.base_score(n):.3f}" for n in ("test",)), "", "", "", ""]
    return table(_HEAD, [base, *rows])


def size_table(results: Results) -> str:
    """Part b with part a: by number of parameters."""
    reference = results.judged("LoRA r 64", "a")
    cells = [results.judged(name, part) for part in "ab" for name in results.names(part)]
    ordered = sorted(cells, key=lambda group: group[0]["parameters"])
    return table(_HEAD, [_row(results, group, reference) for group in ordered])


def place_table(results: Results) -> str:
    """Part d beside the gates of part a."""
    reference = results.judged("LoRA r 64", "a")
    cells = [results.judged("gates", "a"), *(results.judged(n, "d") for n in results.names("d"))]
    return table(_HEAD, [_row(results, group, reference) for group in cells if group])


def few_table(results: Results) -> str:
    """Part c: few documents, the best point by validation."""
    rows = []
    counts = sorted({cell["documents"] for cell in results.cells if cell["part"] == "c"})
    for count in counts:
        reference = results.judged("LoRA r 64", "c", count)
        for name in results.names("c"):
            cells = results.judged(name, "c", count)
            if not cells:
                continue
            steps = [p["step"] for p in map(best_point, cells) if p is not None]
            rows.append(
                [
                    str(count),
                    name,
                    interval(_scores(cells, "test")),
                    "" if cells == reference else _difference(cells, reference, "test"),
                    *(
                        interval([s - results.base_score(e) for s in _scores(cells, e)])
                        for e in ENGLISH
                    ),
                    ", ".join(map(str, steps)),
                ]
            )
    return table(
        (
            "documents",
            "trained",
            "Japanese",
            "minus LoRA r 64",
            "English, technical: change",
            "English, prose: change",
            "best after steps",
        ),
        rows,
    )


def english_at(results: Results, cell: Result, japanese: float, name: str) -> float | None:
    """English score where the training's Japanese score first reaches a value; interpolated."""
    at = (results.base_score("test"), results.base_score(name))
    for point in cell["points"]:
        if point["test"] is None or point[name] is None:
            return None
        now = (point["test"], point[name])
        if now[0] <= japanese:
            share = (at[0] - japanese) / (at[0] - now[0]) if at[0] > now[0] else 0.0
            return at[1] + share * (now[1] - at[1])
        at = now
    return None


def forgetting_table(results: Results) -> str:
    """What is forgotten when every method has come equally far in Japanese."""
    groups = [results.judged(name, "a") for name in results.names("a")]
    finals = [score(cell, "test") for group in groups for cell in group]
    base = results.base_score("test")
    weakest = max(finals)
    rows = []
    for japanese in (weakest, (base + weakest) / 2):
        for group in groups:
            changes = []
            for name in ENGLISH:
                found = [english_at(results, cell, japanese, name) for cell in group]
                known = [one - results.base_score(name) for one in found if one is not None]
                changes.append(interval(known) if known else "not reached")
            rows.append([f"{japanese:.3f}", group[0]["name"], *changes])
    return table(
        ("at Japanese", "trained", "English, technical: change", "English, prose: change"), rows
    )


def tuning_table(results: Results) -> str:
    """Every rate that was tried, with its validation score."""
    rows = []
    tuned = [cell for cell in results.cells if cell["role"] == "tune"]
    for name in dict.fromkeys(cell["name"] for cell in tuned):
        cells = sorted(
            (cell for cell in tuned if cell["name"] == name),
            key=lambda cell: (cell["rate"], cell["gate_rate"]),
        )
        found = [f"{_rates(c)}: {score(c):.3f}" for c in cells]
        rows.append([name, "; ".join(found)])
    return table(("trained", "learning rate, gates': validation bits per byte"), rows)


def sections(results: Results) -> str:
    """All tables with their headings."""
    base = results.base
    corpus = base["corpus"]
    parts: list[tuple[str, Callable[[Results], str], str]] = [
        ("Each at its best rate", main_table, "a"),
        ("What is forgotten at an equal Japanese score", forgetting_table, "a"),
        ("By size", size_table, "b"),
        ("Few documents", few_table, "c"),
        ("Placement", place_table, "d"),
        ("Rates that were tried", tuning_table, "a"),
    ]
    intro = (
        f"Measured on: {_devices(results)}, torch {base['torch']}. {base['steps']} steps of "
        f"{base['rows_in_step']} x {base['row_tokens']} tokens ({base['few_steps']} with few "
        f"documents), from {corpus['train_documents']:,} passages of {corpus['train_tokens']:,} "
        f"tokens. Bits per byte of held-out text: Japanese {base['judged_bytes']['test']:,} bytes "
        f"(base {results.base_score('test'):.3f}), technical English "
        f"{base['judged_bytes']['english_technical']:,} (base "
        f"{results.base_score('english_technical'):.3f}), English prose "
        f"{base['judged_bytes']['english_prose']:,} (base "
        f"{results.base_score('english_prose'):.3f}). Lower is better; a change above 0 is "
        "forgetting. Means of the seeds with 95 % t-intervals; differences are of equal seeds. "
        f"{sum(c['role'] == 'judge' for c in results.cells)} trainings are judged, "
        f"{sum(c['role'] == 'tune' for c in results.cells)} tuned rates."
    )
    written = [intro]
    for title, make, part in parts:
        made = make(results) if results.names(part) else "Not measured in this run."
        written.append(f"### {title}\n\n{made}")
    return "\n\n".join(written)


def write_evidence(files: Sequence[Path], evidence: Path | None) -> str:
    """The tables; put between the marks of an evidence file where one is given."""
    text = sections(Results(files))
    if evidence is not None:
        whole = evidence.read_text("utf-8")
        before, rest = whole.split(BEGIN)
        after = rest.split(END)[1]
        evidence.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
    return text
