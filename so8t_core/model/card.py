"""What all model cards share: the header that the Hugging Face hub reads, tables, safe text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from so8t_core.contract.plain import plain_text
from so8t_core.contract.settings import Settings
from so8t_core.contract.settings.model import STARTER, TINY

STARTER_ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
_OF_ANY = """\
- A research model. What it says can be wrong, unfair or unsafe; check it before anything depends on
  it, and never take it for advice in medicine, law or money.
"""
_OF_THE_CORPUS = """\
- Personal data was masked by rules before training. Rules miss cases.
- Unsafe pages served refusal and detection only. That is no guarantee that unsafe requests are
  refused.
"""
_OF_THINKING = """\
- Where the base was trained to think aloud in tags, those are plain text: whoever serves the model
  has to keep them from its users.
"""
LIMITS = _OF_ANY + _OF_THE_CORPUS + _OF_THINKING
LIMITS_OF_OWN_DATA = _OF_ANY + _OF_THINKING
"""Of a model of a data set of the user's own, of which nothing is known."""
_CELL_CHARACTERS = 120
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def base_of(settings: Settings) -> str | None:
    """`model.base`, where training began from it; a folder does not say what it was made from."""
    return settings.model.base if settings.train.model_path is None else None


def shown_base(base: str | None) -> str:
    """The base for readers elsewhere, without the folders of this machine."""
    if base is None:
        return "a gated checkpoint"
    if base == STARTER:
        return STARTER_ON_HUB
    return base.rstrip("/").rpartition("/")[2] if base.startswith(("/", ".")) else base


def hub_name(base: str) -> str | None:
    """The base as the hub's header may name it; None for one that can be no name there."""
    shown = shown_base(base)
    return None if base == TINY or not _HUB_NAME.fullmatch(shown) else shown


def hub_datasets(settings: Settings) -> tuple[str, ...]:
    """The data sets of the hub that the training data was made from."""
    crawl = settings.crawl
    if crawl.source != "dataset" or crawl.dataset.count("/") != 1:
        return ()
    return (crawl.dataset,) if _HUB_NAME.fullmatch(crawl.dataset) else ()


def front_matter(
    base: str | None,
    *,
    library: str,
    language: str | None = "ja",
    datasets: Iterable[str] = (),
    tags: Iterable[str] = (),
) -> str:
    """The YAML header; `base` as in the setting `model.base`; None where that is not known.

    `language`: of the training data; None where that is not known.
    The licence is `other`: base and pages have licences of their own.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        base_model=None if base is None else hub_name(base),
        datasets=sorted(datasets) or None,
        language=language,
        library_name=library,
        license="other",
        license_name="see-below",
        pipeline_tag="text-generation",
        tags=sorted(tags) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def data_section(data: Mapping[str, Any] | None) -> str:
    """What the model was trained on, from cleanse's figures; None for data of the user's own."""
    if data is None:
        return (
            "## Training data\n\nA data set of the user's own; nothing is known of its licences.\n"
        )
    rows = data["rows"]
    counts = [(kind, rows[kind]["train"]) for kind in sorted(rows)]
    licences = [(name, count) for name, count in sorted(data["pages_by_licence"].items())]
    return (
        table("Training data", ("data set", "rows for training"), counts)
        + "\nThe licences found on the pages stay with what was made from them, and the base model "
        "has a licence of its own. Together they decide what may be done with this model; `none` "
        "means that a page named none, which does not mean free.\n\n"
        + table("Licences of the pages", ("licence", "pages"), licences)
    )


def table(title: str, head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    """A heading and a Markdown table."""
    cells = [head, ("---",) * len(head), *rows]
    lines = ["| " + " | ".join(cell(value) for value in row) + " |" for row in cells]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def cell(value: object) -> str:
    """A value that cannot break out of its cell, nor carry markup."""
    text = plain_text(str(value), limit=_CELL_CHARACTERS)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
