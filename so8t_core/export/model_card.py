"""The model card: what the model is, what it was made from and under which licences, its limits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.plain import plain_text
from so8t_core.contract.settings import Settings

_CELL_CHARACTERS = 120
_LIMITS = """\
## Limits

- A research model. What it says can be wrong, unfair or unsafe; check it before anything depends on
  it, and never take it for advice in medicine, law or money.
- It was evaluated only on what stands above. A benchmark without a row here was not run.
- Personal data was masked by rules before training. Rules miss cases.
- Unsafe pages served refusal and detection only. That is no guarantee that unsafe requests are
  refused.
- Where the base was trained to think aloud in tags, those are plain text: whoever serves the model
  has to keep them from its users.
"""


@dataclass(frozen=True)
class CardFacts:
    """All that the card shows, taken from settings and manifests."""

    name: str
    base: str
    provenance: Mapping[str, str]
    fold: Mapping[str, Any]
    proof: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]
    data: Mapping[str, Any] | None
    evaluation: Mapping[str, Any] | None
    measured: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(
        cls,
        settings: Settings,
        inputs: Mapping[PhaseName, Manifest],
        figures: Mapping[str, Any],
    ) -> CardFacts:
        """From the phase's settings, its inputs' manifests and its own figures."""
        return cls(
            name=settings.export.name,
            base=settings.model.base,
            provenance={name: manifest.digest for name, manifest in sorted(inputs.items())},
            fold=figures["fold"],
            proof=figures["proof"],
            files=figures["gguf"],
            data=inputs["cleanse"].figures if "cleanse" in inputs else None,
            evaluation=inputs["evaluate"].figures if "evaluate" in inputs else None,
            measured=figures["measured"],
        )


def render_card(facts: CardFacts) -> str:
    """The card in Markdown. It holds no times, and is equal for an equal export."""
    base = facts.base.rstrip("/").rpartition("/")[2] if facts.base.startswith("/") else facts.base
    parts = [
        _front_matter(base),
        f"# {facts.name}\n\n"
        f"A Phi-3 chat model for Japanese. Its base, {_cell(base)}, was given SO(8) rotation "
        "gates, trained on public Japanese web pages, and folded back into a plain Phi-3: no code "
        f"of its own is needed. {facts.fold['folded_layers']} layers were folded and "
        f"{facts.fold['merged_weights']} low-rank updates merged; the folded logits differ from "
        f"the trained model's by {facts.proof['relative']:.1e} of their scale.\n",
        _files(facts.files),
        _data(facts.data),
        _evaluation(facts),
        _LIMITS,
        _table("Made from (SHA-256)", ("what", "digest"), facts.provenance.items()),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(base: str) -> str:
    lines = ["---", "language:", "- ja", "library_name: transformers", "license: other"]
    lines += ["license_name: see-below", f"base_model: {json.dumps(base, ensure_ascii=False)}"]
    return "\n".join([*lines, "pipeline_tag: text-generation", "---", ""])


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (facts["file"], f"{facts['size_bytes']:,}", f"{facts['relative_error']:.1e}")
        for facts in files.values()
    ]
    folded = ("folded/", "", "exact up to the proof above")
    head = ("file", "bytes", "relative error of the weights")
    return _table("Files", head, [folded, *rows])


def _data(data: Mapping[str, Any] | None) -> str:
    if data is None:
        return (
            "## Training data\n\nA data set of the user's own; nothing is known of its licences.\n"
        )
    rows = data["rows"]
    counts = [(kind, rows[kind]["train"]) for kind in sorted(rows)]
    licences = [(name, count) for name, count in sorted(data["pages_by_licence"].items())]
    return (
        _table("Training data", ("data set", "rows for training"), counts)
        + "\nThe licences found on the pages stay with what was made from them, and the base model "
        "has a licence of its own (see `folded/`). Together they decide what may be done with "
        "this model; `none` means that a page named none, which does not mean free.\n\n"
        + _table("Licences of the pages", ("licence", "pages"), licences)
    )


def _evaluation(facts: CardFacts) -> str:
    if facts.evaluation is None:
        return "## Evaluation\n\nThis model was not evaluated.\n"
    rows = [*_compared("tuned against base", facts.evaluation, ("base", "tuned"))]
    for form, figures in facts.measured.items():
        rows += _compared(f"{form} against tuned", figures, ("tuned", form))
    head = ("what", "measure", "before", "after", "difference, with interval", "verdict")
    confidence = f"{facts.evaluation['confidence']:.0%}"
    return _table(f"Evaluation (intervals: {confidence})", head, rows)


def _compared(
    what: str, figures: Mapping[str, Any], sides: tuple[str, str]
) -> Iterable[tuple[str, ...]]:
    """One row for each measure of which both sides have a value."""
    measures = [
        ("documents, bits per byte", figures["documents"], "bits_per_byte"),
        ("answers, bits per byte", figures["answers"], "bits_per_byte"),
        *((name, task, metric) for name, task in figures["tasks"].items() for metric in _of(task)),
        *((f"refusals, {name}", part, "refused") for name, part in figures["refusals"].items()),
    ]
    for label, part, metric in measures:
        if metric not in part:
            continue
        before, after = (part[metric][side]["value"] for side in sides)
        difference = part[metric]["difference"]
        low, high = difference["interval"]
        shown = label if metric in ("bits_per_byte", "refused") else f"{label}, {metric}"
        yield (
            what,
            shown.replace("_", " "),
            f"{before:.4f}",
            f"{after:.4f}",
            f"{difference['value']:+.4f} ({low:+.4f} to {high:+.4f})",
            part["verdict"],
        )


def _of(task: Mapping[str, Any]) -> list[str]:
    return [key for key, value in task.items() if isinstance(value, Mapping)]


def _table(title: str, head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    cells = [head, ("---",) * len(head), *rows]
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in cells]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    """A value that cannot break out of its cell, nor carry markup."""
    text = plain_text(str(value), limit=_CELL_CHARACTERS)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
