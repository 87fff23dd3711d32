"""Phase 5: LoRA and gates are trained on cleanse's data, on the checkpoint of integrate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from so8t_core.contract.settings.train import OPERATIONAL, TrainSettings
from so8t_core.model.base import digest_of_weights
from so8t_core.phases.base import Outcome, PhaseContext
from so8t_core.training.adapter import (
    attach_adapter,
    trained_weights,
    weights_digest,
    write_adapter,
)
from so8t_core.training.adapter_card import render_adapter_card
from so8t_core.training.base_model import (
    choose_device,
    choose_dtype,
    load_base,
    load_own_tokenizer,
)
from so8t_core.training.best import require_held_out
from so8t_core.training.checkpoint import Snapshot
from so8t_core.training.encoding import Encoder
from so8t_core.training.figures import memory_figures, training_figures
from so8t_core.training.fitting import Choice, free_bytes, settle
from so8t_core.training.footprint import Means, ModelShape
from so8t_core.training.fused import fuse, fused_wanted
from so8t_core.training.gate_terms import GateTerms, trained_gates
from so8t_core.training.going_on import (
    checkpoint_store,
    history_of,
    shared_snapshot,
    start_from,
    surroundings_of,
    threads_before,
)
from so8t_core.training.inputs import (
    TrainingInputs,
    holds_whole_share,
    require_positions,
    require_trainable,
    resolve_inputs,
    training_identity,
)
from so8t_core.training.kept_data import gather_data
from so8t_core.training.kernels import Kernels, settle_kernels
from so8t_core.training.memory import no_room_for_model
from so8t_core.training.preparation import PreparedData, packed
from so8t_core.training.ranks import Ranks, SharedGate, SilentEmitter, leave_to_us
from so8t_core.training.same_bits import same_bits
from so8t_core.training.samples import SampleWriter
from so8t_core.training.schedule import step_count, training_arguments
from so8t_core.training.sharding import require_shardable, shard_base
from so8t_core.training.surroundings import Surroundings
from so8t_core.training.trackers import require_trackers
from so8t_core.training.trainer import SO8TTrainer


def run(ctx: PhaseContext) -> Outcome:
    """Train, or go on training; done when the adapter folder is whole.

    Of several ranks only the first one writes and has an outcome; the others come back with none.
    """
    ranks = Ranks.join(ctx.settings.train.device)
    ctx = _as_rank(ctx, ranks)
    settings = ctx.settings.train
    require_trackers(settings.trackers)
    history = history_of(ctx, ranks)
    threads = ranks.from_first(
        lambda: settings.threads or history.now.threads or threads_before(ctx)
    )
    torch.set_num_threads(threads)
    device = choose_device(settings)
    if settings.sharded(ranks.count):
        require_shardable(settings, device)
    inputs = resolve_inputs(ctx)
    tokenizer = load_own_tokenizer(inputs.model)
    require_trainable(inputs.model, settings)
    ctx.emit.progress(0, None, "steps", "reading and tokenising the data")
    whole_share = ranks.from_first(
        lambda: holds_whole_share(checkpoint_store(ctx, owned=False).told_identity())
    )
    data = packed(gather_data(ctx, inputs, tokenizer, ranks, whole_share=whole_share), settings)
    require_held_out(settings, data.held_out)
    data.require_known_tokens(ModelShape.of_folder(inputs.model).vocabulary, _pad_id(tokenizer))
    require_positions(inputs.model, data)
    for note in data.notes:
        ctx.emit.log("warning", note)
    kernels = ranks.from_first(partial(_kernels, ctx, device))
    choice = ranks.from_first(partial(_fit, ctx, inputs, data, device, kernels, ranks.count))
    ctx = _applied(ctx, choice.applied(settings))
    identity = training_identity(ctx, inputs, data, threads, device, whole_share=whole_share)
    # what `auto` means is no part of the identity: it is kept beside the checkpoints
    ctx = _applied(ctx, kernels.applied(ctx.settings.train))
    with closing(surroundings_of(ctx, history, ranks)) as around:
        snapshot = shared_snapshot(around, identity, settings)
        start_from(around, snapshot, threads)
        around.trackers.start(
            ctx.run.root.name,
            identity,
            snapshot.step if snapshot else 0,
            snapshot.counters["evaluated_step"] if snapshot else -1,
        )
        trainer = _build_trainer(ctx, inputs, data, identity, around, snapshot, tokenizer, device)
        with same_bits(settings.deterministic):
            trainer.go_on()
        if not ranks.first:
            return Outcome("", (), {})
        return _finish(ctx, inputs, data, trainer, around, threads, choice)


def _as_rank(ctx: PhaseContext, ranks: Ranks) -> PhaseContext:
    """The context of one rank: paused with the others; the first alone is steered and heard."""
    if not ranks.several:
        return ctx
    gate = SharedGate(ctx.pause, ranks)
    if ranks.first:
        return replace(ctx, pause=gate)
    return replace(ctx, pause=gate, emit=SilentEmitter(ranks.number), live=dict)


def _applied(ctx: PhaseContext, settings: TrainSettings) -> PhaseContext:
    return replace(ctx, settings=ctx.settings.model_copy(update={"train": settings}))


def _kernels(ctx: PhaseContext, device: torch.device) -> Kernels:
    settings = ctx.settings.train
    dtype = choose_dtype(settings, device)
    return settle_kernels(ctx.folder / "kernels.json", settings, device, dtype)


def _fit(
    ctx: PhaseContext,
    inputs: TrainingInputs,
    data: PreparedData,
    device: torch.device,
    kernels: Kernels,
    ranks: int,
) -> Choice:
    """Micro-batch and checkpointing as they are set, or as the memory allows."""
    settings = ctx.settings.train
    return settle(
        ctx.folder / "choice.json",
        ModelShape.of_folder(inputs.model),
        settings,
        Means(
            element=choose_dtype(settings, device).itemsize,
            liger=kernels.liger,
            fused=kernels.fused,
        ),
        length=settings.max_length_tokens if settings.packing else max(data.longest.values()),
        memory_bytes=free_bytes(settings, device),
        ranks=ranks,
        emit=ctx.emit,
    )


def _build_trainer(
    ctx: PhaseContext,
    inputs: TrainingInputs,
    data: PreparedData,
    identity: Mapping[str, Any],
    around: Surroundings,
    snapshot: Snapshot | None,
    tokenizer: Any,
    device: torch.device,
) -> SO8TTrainer:
    settings = ctx.settings.train
    steps = step_count(settings, len(data.train))
    dtype = choose_dtype(settings, device)
    ctx.pause.point()
    ctx.emit.progress(0, steps, "steps", "loading the model")
    try:
        model = _adapted_model(ctx, inputs.model, around.ranks, device, dtype)
    except torch.OutOfMemoryError as error:
        raise no_room_for_model(error) from error
    return SO8TTrainer(
        model=model,
        arguments=training_arguments(
            ctx.folder / "checkpoints",
            settings,
            steps,
            ctx.settings.seed,
            device,
            bf16=dtype == torch.bfloat16,
            ranks=around.ranks.count,
        ),
        settings=settings,
        samples=data.train,
        held_out=data.held_out,
        sampler=_sampler(settings, tokenizer),
        pad_id=_pad_id(tokenizer),
        terms=_terms(ctx, model),
        identity=identity,
        around=around,
        resume=snapshot,
    )


def _pad_id(tokenizer: Any) -> int:
    """The token that batches are filled up with; any one does where the tokenizer has none."""
    pad: int | None = tokenizer.pad_token_id
    return 0 if pad is None else pad


def _adapted_model(
    ctx: PhaseContext, folder: Path, ranks: Ranks, device: torch.device, dtype: torch.dtype
) -> PeftModel:
    """The base with LoRA and gates, on joined operations and shared out where that is asked for."""
    settings = ctx.settings.train
    shared = settings.sharded(ranks.count)
    place = torch.device("cpu") if shared else None
    base = load_base(folder, settings, device, dtype, place)
    model = attach_adapter(base, settings, ctx.settings.seed)
    if fused_wanted(settings, device):
        fuse(model)
    elif settings.packing and settings.packed_attention == "ends":
        ctx.emit.fallback(
            "a mask that keeps packed samples apart",
            "train.packed_attention: ends needs the joined operations (train.fused)",
        )
    if shared:
        shard_base(model, device)
        ranks.bound = True
    if ranks.several:
        leave_to_us(model, [name for name in trained_weights(model) if "lora_" in name])
    return model


def _terms(ctx: PhaseContext, model: PeftModel) -> GateTerms:
    settings = ctx.settings.train
    terms = GateTerms(
        trained_gates(model), settings.orthogonality_weight, settings.rotation_size_weight
    )
    if terms.gates and not terms.free and settings.orthogonality_weight:
        ctx.emit.log(
            "info",
            "The gates are orthogonal by construction: the orthogonality term is zero, has no "
            "gradient, and is reported as a health figure.",
        )
    return terms


def _sampler(settings: TrainSettings, tokenizer: Any) -> SampleWriter:
    encoder = Encoder(
        tokenizer, settings.chat_format, settings.max_length_tokens, settings.long_pairs
    )
    return SampleWriter.of(encoder, settings.sample_prompts, settings.sample_max_tokens)


def _finish(
    ctx: PhaseContext,
    inputs: TrainingInputs,
    data: PreparedData,
    trainer: SO8TTrainer,
    around: Surroundings,
    threads: int,
    choice: Choice,
) -> Outcome:
    settings = ctx.settings.train
    around.sync()
    digest = weights_digest(trained_weights(trainer.adapted))
    gates = trained_gates(trainer.adapted)
    folder = ctx.folder / "adapter"
    trainer.adapted.peft_config["default"].base_model_name_or_path = os.path.relpath(
        inputs.model, folder
    )
    facts = {
        "digest": digest,
        "base_model_digest": inputs.model_digest,
        "base_weights_digest": digest_of_weights(inputs.model),
        "training_data_digest": data.train.digest(),
        "seed": ctx.settings.seed,
        "steps": trainer.adapter_step,
        "settings": settings.model_dump(mode="json", exclude=set(OPERATIONAL)),
    }
    figures, notes = training_figures(data, trainer, around, threads, settings)
    figures |= memory_figures(choice, trainer.args.device)
    figures["kernels"] = {
        name: getattr(settings, name) for name in ("liger", "fused", "packed_attention")
    }
    cleansed = ctx.inputs["cleanse"].figures if inputs.cleansed is not None else None
    card = render_adapter_card(ctx.settings, facts, figures, cleansed)
    write_adapter(folder, trainer.adapted, gates, facts, card)
    outputs = [path for path in sorted(folder.iterdir()) if path.is_file()]
    outputs += [ctx.folder / "series.jsonl", ctx.folder / "evaluations.jsonl"]
    return Outcome(digest, tuple(outputs), figures, notes, inputs.outside)
