"""Phase 6: the base and the tuned model on the same held-out items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import DataError, ModelError
from so8t_core.contract.files import canonical_json, sha256_text, write_json
from so8t_core.contract.plain import plain_text
from so8t_core.evaluation.items import Item, Items, ScoredText, choose_items
from so8t_core.evaluation.ledger import ItemLedger
from so8t_core.evaluation.measure import Measuring, Side, SideResults
from so8t_core.evaluation.models import choose_dtype, load_tuned
from so8t_core.evaluation.summary import Summary
from so8t_core.model.base import resolve_base
from so8t_core.model.loading import load_base, load_tokenizer, pick_device
from so8t_core.model.weights import ModelFolder
from so8t_core.phases.base import Outcome, PhaseContext
from so8t_core.training.encoding import Encoder

_SHOWN_CHARACTERS = 200


def run(ctx: PhaseContext) -> Outcome:
    """Measure both sides item by item, compare them, write results.json and samples.json.

    Raises `InputMissing` without cleanse, integrate or train, `DataError` without test items.
    """
    checkpoint = ctx.input_folder("integrate") / "checkpoint"
    adapter = ctx.input_folder("train") / "adapter"
    tokenizer = _tokenizer(ctx, checkpoint)
    items = _items(ctx, tokenizer)
    sides = _measure(ctx, checkpoint, adapter, tokenizer, items)
    summary = Summary(items, sides, ctx.settings.evaluate, tokenizer, ctx.settings.seed)
    figures, samples = summary.figures(), summary.samples()
    write_json(ctx.folder / "results.json", figures)
    write_json(ctx.folder / "samples.json", samples)
    for sample in samples:
        _show(ctx, sample)
    _say_verdicts(ctx, figures)
    return Outcome(
        digest=sha256_text(canonical_json([figures, samples])),
        outputs=(ctx.folder / "results.json", ctx.folder / "samples.json"),
        figures={**figures, "compute_s": {side: sides[side].seconds for side in sides}},
        notes=tuple(summary.notes()),
    )


def _tokenizer(ctx: PhaseContext, checkpoint: Path) -> Any:
    if not ModelFolder.read(checkpoint).has_tokenizer:
        raise ModelError(
            "The model has no tokenizer, so it cannot read the held-out text.",
            where=str(checkpoint),
            hint="Put the base's tokenizer files into its folder and resume from integrate.",
        )
    return load_tokenizer(checkpoint, trust_remote_code=ctx.settings.model.trust_remote_code)


def _items(ctx: PhaseContext, tokenizer: Any) -> Items:
    settings = ctx.settings.evaluate
    encoder = Encoder(
        tokenizer,
        chat_format=ctx.settings.train.chat_format,
        max_length=settings.max_tokens_per_item,
        long_pairs="drop",
    )
    items = choose_items(ctx.input_folder("cleanse"), encoder, settings, ctx.settings.seed)
    if not items.texts and not items.prompts:
        raise DataError(
            "The test split holds neither documents nor instruction pairs.",
            where=str(ctx.input_folder("cleanse")),
            hint="Crawl more pages, or give the test split a larger share in the cleanse settings.",
        )
    return items


def _measure(
    ctx: PhaseContext, checkpoint: Path, adapter: Path, tokenizer: Any, items: Items
) -> dict[Side, SideResults]:
    settings = ctx.settings.evaluate
    device = pick_device(settings.device)
    dtype = choose_dtype(settings, device)
    shared = [
        settings.model_dump(mode="json"),
        ctx.settings.seed,
        ctx.settings.train.chat_format,
        ctx.inputs["cleanse"].digest,
        ctx.inputs["integrate"].digest,
        [device, str(dtype)],
    ]
    base_identity = canonical_json([*shared, ctx.settings.model.model_dump(mode="json")])
    tuned_identity = canonical_json([*shared, ctx.inputs["train"].digest])
    ctx.emit.stats({"device": device, "dtype": str(dtype).removeprefix("torch.")})
    with ItemLedger(ctx.folder / "items.jsonl") as ledger:
        measuring = Measuring(
            items, ledger, settings, tokenizer, ctx.pause.point, _Teller(ctx, items).told
        )
        base = measuring.run(
            "base",
            base_identity,
            lambda: load_base(
                resolve_base(ctx.settings.model, seed=ctx.settings.seed), dtype=dtype, device=device
            ),
        )
        tuned = measuring.run(
            "tuned", tuned_identity, lambda: load_tuned(checkpoint, adapter, device, dtype)
        )
    return {"base": base, "tuned": tuned}


class _Teller:
    """Says after each item how far it is, and bits per byte so far."""

    def __init__(self, ctx: PhaseContext, items: Items) -> None:
        self._ctx = ctx
        self._total = 2 * (len(items.texts) + len(items.prompts))
        self._done = 0
        self._sums: dict[str, list[float]] = {}

    def told(self, side: Side, item: Item, result: Mapping[str, Any]) -> None:
        self._done += 1
        if isinstance(item, ScoredText):
            series = f"{item.kind}_bits_per_byte_{side}"
            bits, size, count = self._sums.get(series, [0.0, 0.0, 0.0])
            self._sums[series] = [bits + result["bits"], size + item.size_bytes, count + 1]
            running = self._sums[series][0] / self._sums[series][1]
            self._ctx.emit.metric(int(self._sums[series][2]), {series: running})
            self._ctx.emit.stats({series: running})
        self._ctx.emit.progress(self._done, self._total, "items", f"{side}: {item.id}")


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
