"""Phase 7: the trained model folded into a stock Phi-3, proven, written as GGUF, and measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch

from so8t_core.contract.files import canonical_json, sha256_text, write_text
from so8t_core.contract.settings.export import GgufType
from so8t_core.evaluation.exported import ExportedMeasuring
from so8t_core.evaluation.models import choose_dtype, load_tuned
from so8t_core.evaluation.readers import Reader, TorchReader, llama_reader
from so8t_core.export.artifacts import Artifacts, lasting, require_tools
from so8t_core.export.gguf_values import load_gguf_values
from so8t_core.export.model_card import CardFacts, render_card
from so8t_core.model import llama_cpp_package
from so8t_core.model.loading import load_base, load_tokenizer, pick_device, quiet_transformers
from so8t_core.phases.base import Outcome, PhaseContext
from so8t_core.training.encoding import Encoder


def run(ctx: PhaseContext) -> Outcome:
    """Fold and prove, write and check the files, measure them; each artifact only once.

    Raises `InputMissing` without integrate or train, or without llama.cpp where the settings need
    it; `ModelError` where a proof or check fails.
    """
    require_tools(ctx)
    with quiet_transformers():
        return _export(ctx)


def _export(ctx: PhaseContext) -> Outcome:
    checkpoint = ctx.gated
    adapter = ctx.input_folder("train") / "adapter"
    nearest = ctx.settings.export.fold_nearest_rotation
    artifacts = Artifacts(
        ctx, lambda: load_tuned(checkpoint, adapter, "cpu", torch.float32, nearest=nearest)
    )
    figures = artifacts.make()
    digest = sha256_text(canonical_json([artifacts.made_from("all"), lasting(figures)]))
    figures["measured"] = _measured(artifacts, figures)
    card = ctx.folder / "README.md"
    write_text(card, render_card(CardFacts.of(ctx.settings, ctx.inputs, figures)))
    return Outcome(
        digest=digest,
        outputs=(*artifacts.outputs, card),
        figures=figures,
        notes=tuple(artifacts.notes),
        extra_inputs=artifacts.own_base,
    )


def _measured(artifacts: Artifacts, figures: dict[str, Any]) -> dict[str, Any]:
    """The exported forms on evaluate's items, where evaluate has a result."""
    wanted = [
        form
        for form in artifacts.ctx.settings.export.measure
        if form == "folded" or form in figures["gguf"]
    ]
    if wanted and "evaluate" not in artifacts.ctx.inputs:
        artifacts.notes.append("The exported forms were not measured: evaluate has no result.")
        return {}
    return _FormMeasuring(artifacts).figures(wanted, figures) if wanted else {}


class _FormMeasuring:
    """Loads each exported form and has it measured."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        ctx = artifacts.ctx
        tokenizer = load_tokenizer(
            artifacts.folded, trust_remote_code=ctx.settings.model.trust_remote_code
        )
        self._measuring = ExportedMeasuring(
            evaluated=ctx.input_folder("evaluate") / "items.json",
            ledger=ctx.folder / "measured.jsonl",
            encoder=Encoder(
                tokenizer,
                chat_format=ctx.settings.train.chat_format,
                max_length=ctx.settings.evaluate.max_tokens_per_item,
                long_pairs="drop",
            ),
            settings=ctx.settings.evaluate,
            seed=ctx.settings.seed,
            step=ctx.pause.point,
            emit=ctx.emit,
        )

    def figures(
        self, wanted: Sequence[GgufType | Literal["folded"]], made: dict[str, Any]
    ) -> dict[str, Any]:
        """By form: what reads it, and its figures beside the tuned model's."""
        figures: dict[str, Any] = {}
        for form in wanted:
            with ExitStack() as stack:
                read_by, load = self._loader(form, stack)
                made_from = self._artifacts.made_from(form, made["fold"]["digest"], read_by)
                measured = self._measuring.figures(form, made_from, load)
                figures[form] = {"read_by": read_by, **measured}
        return figures

    def _loader(
        self, form: GgufType | Literal["folded"], stack: ExitStack
    ) -> tuple[str, Callable[[], Reader]]:
        artifacts = self._artifacts
        settings = artifacts.ctx.settings
        device = pick_device(settings.evaluate.device)
        dtype = choose_dtype(settings.evaluate, device)
        if form == "folded":
            return "transformers", lambda: TorchReader(
                load_base(artifacts.folded, dtype=dtype, device=device)
            )
        path = artifacts.gguf_path(form)
        if settings.export.llama_cpp == "off" or not llama_cpp_package.is_installed():
            return "transformers", lambda: TorchReader(
                load_gguf_values(artifacts.source, path, dtype=dtype, device=device)
            )
        return "llama.cpp", lambda: stack.enter_context(
            llama_reader(
                path,
                context_tokens=self._measuring.longest_tokens(),
                end_ids=artifacts.source.end_ids,
            )
        )
