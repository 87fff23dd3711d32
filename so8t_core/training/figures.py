"""What a report shows of a finished training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.model import ops
from so8t_core.model.so8 import ROTATION_ERROR
from so8t_core.training.adapter import trained_weights
from so8t_core.training.base_model import weight_dtypes
from so8t_core.training.fitting import Choice
from so8t_core.training.gate_terms import trained_gates
from so8t_core.training.history import History
from so8t_core.training.preparation import PreparedData
from so8t_core.training.series import read_series
from so8t_core.training.surroundings import Surroundings
from so8t_core.training.trainer import SO8TTrainer


def training_figures(
    data: PreparedData,
    trainer: SO8TTrainer,
    around: Surroundings,
    threads: int,
    settings: TrainSettings,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Everything a report shows of a finished training, and what its reader must know."""
    steps = read_series(around.series.path)
    by_step = {line["step"]: line["loss"] for line in steps if "loss" in line}
    losses = list(by_step.values())  # a step left out may have none
    measured = {line["step"]: line["eval_loss"] for line in read_series(around.evaluations.path)}
    evaluations = list(measured.values())
    gates = trained_gates(trainer.adapted)
    gate_parameters = sum(gate.module.theta.numel() for gate in gates)
    trained = sum(weight.numel() for weight in trained_weights(trainer.adapted).values())
    rotation = trainer.terms.summary() if gates else {}
    history = around.history.now
    lost = {curve.file for curve in history.lost_curves}
    figures = {
        "steps": trainer.state.global_step,
        "tokens": trainer.counters["tokens"],
        "target_tokens": trainer.counters["targets"],
        "first_loss": losses[0] if losses and "series.jsonl" not in lost else None,
        "final_loss": losses[-1] if losses else None,
        "rows_a_pass": trainer.passes.rows,
        "bad_steps": trainer.guard.seen.bad,
        "rate_back_offs": trainer.guard.seen.back_offs,
        "first_eval_loss": (
            evaluations[0] if evaluations and "evaluations.jsonl" not in lost else None
        ),
        "final_eval_loss": evaluations[-1] if evaluations else None,
        "best_eval_loss": trainer.examination.best.loss,
        "best_step": trainer.examination.best.step,
        "adapter_step": trainer.adapter_step,
        "adapter_loss": by_step.get(trainer.adapter_step),
        "adapter_eval_loss": measured.get(trainer.adapter_step),
        "adapter_tokens": trainer.adapter_counters["tokens"],
        "adapter_target_tokens": trainer.adapter_counters["targets"],
        "lora_parameters": trained - gate_parameters,
        "gate_parameters": gate_parameters,
        **rotation,
        "weight_dtypes": weight_dtypes(trainer.adapted),
        "base_storage": settings.base_storage,
        "device": trainer.args.device.type,
        "compute_dtype": "bfloat16" if trainer.args.bf16 else "float32",
        "gate_kernel_fallbacks": sum(ops.fallbacks().values()),
        "threads": threads,
        "checkpoints_written": history.checkpoints_written,
        "checkpoint_stall_s_max": history.checkpoint_stall_s_max,
        "checkpoint_write_s_max": history.checkpoint_write_s_max,
        "resumes": history.starts - 1,
        "rejected_checkpoints": len(history.rejected_checkpoints),
        "lost_best_step": _lost_step(history, measured, trainer.adapter_step),
        "train_s": history.train_s,
        **data.figures,
    }
    notes = _notes(settings, trainer, rotation, history)
    return figures, data.notes + notes


def _lost_step(history: History, measured: Mapping[float, float], taken: int) -> int | None:
    """The step of a lower held-out loss than the adapter's, whose checkpoint was lost."""
    lost = [one.step for one in history.lost_bests if one.step in measured]
    lowest = min(lost, key=lambda step: measured[step], default=None)
    if lowest is None or taken not in measured or measured[lowest] >= measured[taken]:
        return None
    return lowest


def memory_figures(choice: Choice, device: torch.device) -> dict[str, Any]:
    """What was chosen for the memory, the estimate, and the peak that was measured beside it.

    `memory_peak_bytes`: torch's, of this process; None without a GPU.
    """
    measured = device.type == "cuda"
    return {
        "micro_batch_size": choice.micro_batch_size,
        "accumulation_steps": choice.accumulation_steps,
        "recomputed_share": choice.recomputed_share,
        "memory_choice": choice.why,
        "memory_estimate_bytes": choice.estimate_bytes,
        "memory_peak_bytes": torch.cuda.max_memory_allocated(device) if measured else None,
    }


def rotation_notes(rotation: Mapping[str, float], *, free: bool) -> list[str]:
    """What a reader must know of the trained rotations; `rotation` is `GateTerms.summary`."""
    notes = []
    if rotation["rotation_angle_max_rad"] == 0.0:
        notes.append("The gates did not move: every rotation is still the identity.")
    error = rotation["orthogonality_error_max"]
    if not free and not error <= ROTATION_ERROR:
        notes.append(
            f"Some gates are no rotations any more (largest ‖RᵀR - I‖ {error:.2g}): their numbers "
            "grew beyond what can be computed. Train with a smaller train.gate_learning_rate or a "
            "larger train.rotation_size_weight."
        )
    return notes


def _notes(
    settings: TrainSettings,
    trainer: SO8TTrainer,
    rotation: Mapping[str, float],
    history: History,
) -> tuple[str, ...]:
    notes = [
        f"A damaged checkpoint was passed over: {reason}" for reason in history.rejected_checkpoints
    ]
    notes += [
        f"The checkpoint of step {lost.step}, the best until then, could not be used: {lost.reason}"
        for lost in history.lost_bests
    ]
    notes += [
        f"{curve.file} begins after step {curve.step}: what came before was changed or lost. The "
        "training itself is whole."
        for curve in history.lost_curves
    ]
    if history.lost_checkpoints:
        notes.append(
            f"{history.lost_checkpoints} checkpoints had been written and were gone at a later "
            "start: the training began again at step 0."
        )
    notes += [f"A setting changed on the way: {one.told()}." for one in history.changed_settings]
    if bad := trainer.guard.seen.bad:
        steps = "step was" if bad == 1 else "steps were"
        notes.append(f"{bad} {steps} left out: the loss or the gradient was not usable.")
    if trainer.examination.best.ended:
        notes.append(
            f"Training stopped early after step {trainer.state.global_step} of "
            f"{trainer.args.max_steps}: the held-out loss had not fallen for "
            f"{trainer.examination.best.patience} evaluations."
        )
    if (step := trainer.adapter_step) != (last := trainer.state.global_step):
        notes.append(
            f"The adapter is that of step {step}, where the held-out loss was lowest; training "
            f"went on to step {last}."
        )
    if rotation:
        notes += rotation_notes(rotation, free=trainer.terms.free)
    if settings.optimizer == "paged_adamw_8bit" and trainer.args.device.type == "cpu":
        notes.append("The optimiser's states were not paged: that needs a GPU.")
    notes += [
        f"The gates did without their kernels {count} times: {reason}."
        for reason, count in ops.fallbacks().items()
    ]
    if rotation and not trainer.terms.free and settings.orthogonality_weight:
        notes.append(
            "The orthogonality term was zero throughout: these gates are rotations by construction."
        )
    return tuple(notes)
