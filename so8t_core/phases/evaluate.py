"""Phase 6: the base and the tuned model on the same held-out items, tasks and requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from so8t_core.contract.errors import DataError, ModelError
from so8t_core.contract.files import canonical_json, sha256_text, write_json
from so8t_core.contract.manifest import BASE_MODEL
from so8t_core.contract.plain import plain_text
from so8t_core.evaluation.choice import choose_items, start_token
from so8t_core.evaluation.inputs import input_digests
from so8t_core.evaluation.items import Items
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.measure import SIDES, Measuring, Side, SideResults
from so8t_core.evaluation.models import choose_dtype, freeze_rotations, load_tuned
from so8t_core.evaluation.readers import TorchReader
from so8t_core.evaluation.speed import speed_figures
from so8t_core.evaluation.summary import Summary
from so8t_core.evaluation.tasks import Texts, require_harness
from so8t_core.evaluation.telling import Teller
from so8t_core.model.base import resolve_base
from so8t_core.model.loading import load_base, load_gated, load_tokenizer, pick_device
from so8t_core.model.weights import ModelFolder
from so8t_core.phases.base import Outcome, PhaseContext
from so8t_core.training.encoding import Encoder

_SHOWN_CHARACTERS = 200


def run(ctx: PhaseContext) -> Outcome:
    """Measure both sides item by item and compare them.

    Writes results.json and samples.json, and for those who measure other models on the same items
    items.json and measured.json. Raises `InputMissing` without cleanse, integrate or train, or
    without the harness where there are tasks; `DataError` without test items.
    """
    if ctx.settings.evaluate.tasks:
        require_harness()
    checkpoint = ctx.gated
    adapter = ctx.input_folder("train") / "adapter"
    digests = input_digests(ctx.settings)
    tokenizer = _tokenizer(ctx, checkpoint)
    encoder = _encoder(ctx, tokenizer)
    items = _items(ctx, encoder)
    sides = _measure(ctx, checkpoint, adapter, encoder, items, digests)
    summary = Summary(items, sides, SIDES, ctx.settings.evaluate, tokenizer, ctx.settings.seed)
    figures, samples = summary.figures(), summary.samples()
    outputs = _write(ctx, items, sides, figures, samples)
    for sample in samples:
        _show(ctx, sample)
    _say_verdicts(ctx, figures)
    return Outcome(
        digest=sha256_text(canonical_json([figures, samples])),
        outputs=outputs,
        figures={**figures, "speed": {side: speed_figures(sides[side].timings) for side in SIDES}},
        notes=tuple(summary.notes()),
        extra_inputs=digests,
    )


def _write(
    ctx: PhaseContext,
    items: Items,
    sides: Mapping[Side, SideResults],
    figures: Mapping[str, Any],
    samples: list[dict[str, Any]],
) -> tuple[Path, ...]:
    paths = [ctx.folder / name for name in ("results.json", "samples.json", "measured.json")]
    measured = {side: results.as_json() for side, results in sides.items()}
    for path, value in zip(paths, (figures, samples, measured), strict=True):
        write_json(path, value)
    items.write(ctx.folder / "items.json")
    return (*paths, ctx.folder / "items.json")


def _tokenizer(ctx: PhaseContext, checkpoint: Path) -> Any:
    if not ModelFolder.read(checkpoint).has_tokenizer:
        raise ModelError(
            "The model has no tokenizer, so it cannot read the held-out text.",
            where=str(checkpoint),
            hint="Put the base's tokenizer files into its folder and resume from integrate.",
        )
    return load_tokenizer(checkpoint, trust_remote_code=ctx.settings.model.trust_remote_code)


def _encoder(ctx: PhaseContext, tokenizer: Any) -> Encoder:
    return Encoder(
        tokenizer,
        chat_format=ctx.settings.train.chat_format,
        max_length=ctx.settings.evaluate.max_tokens_per_item,
        long_pairs="drop",
    )


def _items(ctx: PhaseContext, encoder: Encoder) -> Items:
    cleansed = ctx.input_folder("cleanse")
    items = choose_items(cleansed, encoder, ctx.settings.evaluate, ctx.settings.seed)
    if not items.texts and not items.prompts:
        raise DataError(
            "The test split holds neither documents nor instruction pairs.",
            where=str(cleansed),
            hint="Crawl more pages, or give the test split a larger share in the cleanse settings.",
        )
    return items


def _measure(
    ctx: PhaseContext,
    checkpoint: Path,
    adapter: Path,
    encoder: Encoder,
    items: Items,
    digests: Mapping[str, str],
) -> dict[Side, SideResults]:
    settings = ctx.settings.evaluate
    tokenizer = encoder.tokenizer
    device = pick_device(settings.device)
    dtype = choose_dtype(settings, device)
    shared = [
        settings.model_dump(mode="json"),
        ctx.settings.seed,
        ctx.settings.train.chat_format,
        ctx.inputs["cleanse"].digest,
        ctx.gated_digest,
        {name: digest for name, digest in digests.items() if name != BASE_MODEL},
        [device, str(dtype)],
    ]
    own_base = [digest for name, digest in digests.items() if name == BASE_MODEL]
    model = ctx.settings.model.model_dump(mode="json")
    base_identity = canonical_json([*shared, model, *own_base])
    tuned_identity = canonical_json([*shared, ctx.inputs["train"].digest])
    ctx.emit.stats({"device": device, "dtype": str(dtype).removeprefix("torch.")})
    with ItemLedger(ctx.folder / "items.jsonl") as ledger:
        measuring = Measuring(
            items=items,
            ledger=ledger,
            settings=settings,
            texts=Texts(start_token(tokenizer), encoder.literal_ids, tokenizer.decode),
            end_ids=frozenset({tokenizer.eos_token_id} - {None}),
            step=ctx.pause.point,
            told=Teller(ctx.emit, items, sides=len(SIDES)).told,
        )
        base = measuring.run(
            "base",
            base_identity,
            lambda: TorchReader(_untrained(ctx, device, dtype)),
        )
        tuned = measuring.run(
            "tuned",
            tuned_identity,
            lambda: TorchReader(load_tuned(checkpoint, adapter, device, dtype)),
        )
    return {"base": base, "tuned": tuned}


def _untrained(ctx: PhaseContext, device: str, dtype: torch.dtype) -> nn.Module:
    """The base; where training began from a checkpoint of the user's, that one as it was found."""
    if ctx.settings.train.model_path is not None:
        gated = load_gated(ctx.gated, dtype=dtype, device=device)
        freeze_rotations(gated)
        return gated
    base = resolve_base(ctx.settings.model, seed=ctx.settings.seed)
    return load_base(base, dtype=dtype, device=device)


def _show(ctx: PhaseContext, sample: Mapping[str, Any]) -> None:
    shown = {
        name: plain_text(text, limit=_SHOWN_CHARACTERS)
        for name, text in (
            ("question", sample["question"]),
            ("base", sample["base"]["text"]),
            ("tuned", sample["tuned"]["text"]),
        )
    }
    ctx.emit.item("sample", shown["question"], base=shown["base"], tuned=shown["tuned"])


def _say_verdicts(ctx: PhaseContext, figures: Mapping[str, Any]) -> None:
    for kind in ("documents", "answers"):
        part = figures[kind]
        if "verdict" not in part:
            continue
        bits = part["bits_per_byte"]
        low, high = bits["difference"]["interval"]
        ctx.emit.log(
            "info",
            f"{kind}: {bits['base']['value']:.4f} bits per byte before, "
            f"{bits['tuned']['value']:.4f} after; difference {bits['difference']['value']:+.4f} "
            f"[{low:+.4f}, {high:+.4f}]: {part['verdict']}.",
        )
    for name, task in figures["tasks"].items():
        ctx.emit.log(
            "info", f"{name}: {task['items']} items, tuned against base: {task['verdict']}."
        )
