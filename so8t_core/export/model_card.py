"""The model card: what the model is, what it was made from and under which licences, its limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.settings import Settings
from so8t_core.model.card import (
    LIMITS,
    LIMITS_OF_OWN_DATA,
    base_of,
    cell,
    data_section,
    front_matter,
    hub_datasets,
    shown_base,
    table,
)

_EVALUATED = """\
## Limits

- It was evaluated only on what stands above. A benchmark without a row here was not run.
"""


@dataclass(frozen=True)
class _Taught:
    """What may be said of a model by the data that it was trained on."""

    text: str
    model: str
    language: str | None
    limits: str

    @classmethod
    def by(cls, own_data: bool) -> _Taught:
        """`own_data`: a data set of the user's own, of which nothing is known."""
        if own_data:
            return cls("a data set of its maker's own", "chat model", None, LIMITS_OF_OWN_DATA)
        return cls("public Japanese web pages", "chat model for Japanese", "ja", LIMITS)


@dataclass(frozen=True)
class CardFacts:
    """All that the card shows, taken from settings and manifests."""

    name: str
    base: str | None
    own_data: bool
    datasets: tuple[str, ...]
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
        own_data = settings.train.dataset is not None
        cleansed = "cleanse" in inputs and not own_data
        return cls(
            name=settings.export.name,
            base=base_of(settings),
            own_data=own_data,
            datasets=() if own_data else hub_datasets(settings),
            provenance={name: manifest.digest for name, manifest in sorted(inputs.items())},
            fold=figures["fold"],
            proof=figures["proof"],
            files=figures["gguf"],
            data=inputs["cleanse"].figures if cleansed else None,
            evaluation=inputs["evaluate"].figures if "evaluate" in inputs else None,
            measured=figures["measured"],
        )


def render_folded_card(settings: Settings, proof: Mapping[str, Any]) -> str:
    """The card inside the folder of the folded checkpoint, for those who pass on that alone."""
    base, own_data = base_of(settings), settings.train.dataset is not None
    taught = _Taught.by(own_data)
    return "\n".join(
        [
            front_matter(
                base,
                library="transformers",
                language=taught.language,
                datasets=() if own_data else hub_datasets(settings),
            ),
            f"# {settings.export.name}\n\n"
            f"A plain Phi-3 {taught.model}, made from {cell(shown_base(base))}: SO(8) rotation "
            f"gates and LoRA were trained on {taught.text} and folded into its weights, so no code "
            f"of its own is needed. Its logits differ by {proof['relative']:.1e} of their scale "
            "from those of the trained model. Data, scores and licences stand in the card of the "
            "export that this folder is part of.\n",
            f"## Limits\n\n{taught.limits}",
        ]
    )


def render_card(facts: CardFacts) -> str:
    """The card in Markdown. It holds no times, and is equal for an equal export."""
    taught = _Taught.by(facts.own_data)
    parts = [
        front_matter(
            facts.base,
            library="transformers",
            language=taught.language,
            datasets=facts.datasets,
        ),
        f"# {facts.name}\n\n"
        f"A Phi-3 {taught.model}. Its base, {cell(shown_base(facts.base))}, was given "
        f"SO(8) rotation gates, trained on {taught.text}, and folded back into a plain "
        f"Phi-3: no code of its own is needed. {facts.fold['folded_layers']} layers were folded "
        f"and {facts.fold['merged_weights']} low-rank updates merged; the folded logits differ "
        f"from the trained model's by {facts.proof['relative']:.1e} of their scale.\n",
        _files(facts.files),
        data_section(facts.data),
        _evaluation(facts),
        _EVALUATED + taught.limits,
        table("Made from (SHA-256)", ("what", "digest"), facts.provenance.items()),
    ]
    return "\n".join(part for part in parts if part)


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (facts["file"], f"{facts['size_bytes']:,}", f"{facts['relative_error']:.1e}")
        for facts in files.values()
    ]
    folded = ("folded/", "", "exact up to the proof above")
    head = ("file", "bytes", "relative error of the weights")
    return table("Files", head, [folded, *rows])


def _evaluation(facts: CardFacts) -> str:
    if facts.evaluation is None:
        return "## Evaluation\n\nThis model was not evaluated.\n"
    rows = [*_compared("tuned against base", facts.evaluation, ("base", "tuned"))]
    for form, figures in facts.measured.items():
        rows += _compared(f"{form} against tuned", figures, ("tuned", form))
    head = ("what", "measure", "before", "after", "difference, with interval", "verdict")
    confidence = f"{facts.evaluation['confidence']:.0%}"
    return table(f"Evaluation (intervals: {confidence})", head, rows)


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
