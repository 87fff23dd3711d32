"""SO8TTrainer: transformers' Trainer with gates, exact resume, and a pause at every micro-batch.

What makes a resumed run equal an uninterrupted one to the bit: a checkpoint lies between two
optimiser steps and holds weights, optimiser and schedule as they were; the order of samples is a
function of the position alone; every step seeds all random generators from the run's seed and its
own number; nothing that depends on the clock touches a number. A hard pause in the middle of an
accumulation therefore drops the gradients and saves the step's start; the replay gives them again.
On a GPU gradients of attention need `train.deterministic` besides, or their last bits may differ.

Longer than other modules, because every hook of Trainer must be a method of the one class.
"""

# transformers annotates only part of what is called here, and its hooks have more arguments than
# are needed
# mypy: disable-error-code="no-untyped-call, misc"
# ruff: noqa: ARG002
from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import partial
from itertools import chain, islice
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.adapter import put_weights, trained_weights
from so8t_core.training.base_model import set_evaluating
from so8t_core.training.best import EndedEarly, kept_best, takes_best
from so8t_core.training.callbacks import StepBounds
from so8t_core.training.checkpoint import (
    Snapshot,
    not_fitting,
    require_fitting,
)
from so8t_core.training.dataset import PaddingCollator, RunOrder, SampleSet
from so8t_core.training.examination import Examination, Subject
from so8t_core.training.finished_step import FinishedStep, Readings, StepBook, read_together
from so8t_core.training.fused import ends_told
from so8t_core.training.fused_lora import LoraBank
from so8t_core.training.gate_terms import GateTerms, active_gates
from so8t_core.training.guard import StepGuard
from so8t_core.training.keeper import CheckpointKeeper
from so8t_core.training.long_positions import chosen_by_sample
from so8t_core.training.memory import Passes, first_line, lost_device_told, no_smaller_passes
from so8t_core.training.optimizer import (
    build_optimizer,
    optimizer_state,
    parameter_names,
    restore_optimizer,
)
from so8t_core.training.packing import PackedSet, PackingCollator
from so8t_core.training.pet import MarkingCollator, PetTerm
from so8t_core.training.rotation_bank import RotationBank
from so8t_core.training.samples import SampleWriter
from so8t_core.training.schedule import build_schedule, lower_rates, seed_step
from so8t_core.training.sharding import average_gradients
from so8t_core.training.steering import steering_of
from so8t_core.training.surroundings import Surroundings


class SO8TTrainer(Trainer):
    """Trains LoRA and gates. Raises `PhaseError` at a bad step where the settings say so.

    `resume`: the verified snapshot to go on from, given again to `train` as its folder.
    """

    _given: list[dict[str, Any]]  # the step's micro-batches so far
    _passed: bool  # whether the step has had its first pass
    _step_targets: Tensor | int  # what the step's losses are divided by
    _readings: Readings  # of the step, as soon as it has its gradients

    def __init__(
        self,
        *,
        model: PeftModel,
        arguments: TrainingArguments,
        settings: TrainSettings,
        samples: SampleSet | PackedSet,
        held_out: SampleSet | None,
        sampler: SampleWriter,
        pad_id: int,
        terms: GateTerms,
        identity: Mapping[str, Any],
        around: Surroundings,
        resume: Snapshot | None,
    ) -> None:
        self.adapted = model
        self._samples = samples
        self._settings = settings
        self.terms = terms
        self._identity = identity
        self._around = around
        self._ranks = around.ranks
        self._resume = resume
        self._names = parameter_names(model)
        self._trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        # the Trainer asks for it at each step, and the walk over all modules takes milliseconds
        model.zero_grad = partial(_forget_gradients, self._trained)  # type: ignore[method-assign]
        self._bank = RotationBank(active_gates(model))
        dtype = torch.bfloat16 if arguments.bf16 else torch.float32
        self._low = LoraBank(model, dtype)
        self.counters = dict(resume.counters) if resume else {"tokens": 0, "targets": 0}
        rows = arguments.per_device_train_batch_size
        self.passes = Passes(rows, around.emit, resume.course["passes"] if resume else {})
        self.guard = StepGuard.from_settings(
            settings, around.run_root.name, resume.course["guard"] if resume else {}
        )
        self._held_s = 0.0
        self._coming: Iterator[Any] = iter(())
        self._ahead: list[Any] = []
        base: Any = model.get_base_model()
        padding = PaddingCollator(pad_id, chosen_by_sample(base))
        self._pet: PetTerm | None = None
        if settings.pet_weight:
            self._pet = PetTerm(base.model.norm, settings.pet_weight, arguments.max_steps)
        super().__init__(
            model=model,
            args=arguments,
            data_collator=self._collator(padding, ends_told(settings, arguments.device, dtype)),
            train_dataset=samples,
        )
        self.examination = Examination(
            settings, around, held_out, sampler, padding, arguments.max_steps, resume
        )
        saved = (resume.step, *self.examination.counters().values()) if resume else None
        self._keeper = CheckpointKeeper(
            settings, around, self.args.device, arguments.max_steps, saved
        )
        share = self._samples_a_step / len(samples)
        self._book = StepBook(around, terms, self.args.device, arguments.max_steps, share)
        self.remove_callback(PrinterCallback)
        self.add_callback(StepBounds(self))
        self._begin_counting()

    # ---- order, optimiser, loss

    def _collator(self, padding: PaddingCollator, tells_ends: bool) -> Any:
        packed = isinstance(self._samples, PackedSet)
        inner = PackingCollator(padding.pad_id, tells_ends) if packed else padding
        return inner if self._pet is None else MarkingCollator(inner)

    @property
    def _samples_a_step(self) -> int:
        """Of all ranks: accelerate deals the batches out, one rank after another."""
        own = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps
        return own * self._ranks.count

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        total = self.args.max_steps * self._samples_a_step
        return RunOrder(len(self._samples), total, self.args.seed)

    def _wrap_model(
        self, model: nn.Module, training: bool = True, dataloader: Any = None
    ) -> nn.Module:
        """By ourselves where the base is sharded, which accelerate refuses."""
        if not self._ranks.bound:
            wrapped: nn.Module = super()._wrap_model(model, training, dataloader)
            return wrapped
        ready = self.accelerator.prepare_model(model, device_placement=False, evaluation_mode=True)
        return average_gradients(ready, self.args.device)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = build_optimizer(
                self.adapted,
                tuple(self.terms.gates),
                self._settings,
                self.args.device,
                self._around.emit,
            )
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LambdaLR:
        if self.lr_scheduler is None:
            built = optimizer or self.create_optimizer()
            self.lr_scheduler = build_schedule(built, self._settings, num_training_steps)
        return self.lr_scheduler

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: it would walk over all parameters at each micro-batch."""
        return 0

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """The step's micro-batches, and what their losses are divided by."""
        every = chain(self._ahead, epoch_iterator)
        batches, targets = super().get_batch_samples(every, num_batches, device)
        self._coming, self._ahead = epoch_iterator, []
        if self._pet is not None and batches:
            self._pet.count(batches, self.accelerator.gather, device)
        return batches, targets

    def _read_ahead(self) -> None:
        """Collate the next step's micro-batches while the device still has work."""
        self._ahead = list(islice(self._coming, self.args.gradient_accumulation_steps))

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """Cross-entropy over the step's targets, PET over its triples; the gates' penalty once."""
        assert num_items_in_batch is not None  # or the Trainer would divide the penalty as well
        loss = super().compute_loss(model, inputs, num_items_in_batch=num_items_in_batch)
        assert isinstance(loss, Tensor)
        self._task_loss += loss.detach().float()
        self._step_targets = num_items_in_batch
        if self._pet is not None:
            loss = self._pet.add(loss, self.accelerator.num_processes)
        first, self._passed = not self._passed, True
        if first and (penalty := self.terms.penalty()) is not None:
            loss = loss + penalty
        return loss

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """One micro-batch, after asking whether to pause.

        Where memory runs out, the step begins again in smaller passes: nothing has been changed
        yet but gradients. Raises `ResourceError` where that does not help.
        """
        self._pause_point()
        self._given.append(inputs)
        short = self._take(model, [inputs], num_items_in_batch)
        while short is not None:
            self._begin_again(short)
            short = self._take(model, self._given, num_items_in_batch)
        self.settle()
        if self.accelerator.sync_gradients:
            self._read_ahead()
        done = self.state.global_step + self._micro_batches / self.args.gradient_accumulation_steps
        self._around.emit.progress(done, self.args.max_steps, "steps")
        return torch.nan_to_num(self._last_loss)  # the Trainer's own sum would keep a NaN for ever

    def _take(
        self, model: nn.Module, batches: Sequence[dict[str, Any]], targets: Tensor | int | None
    ) -> str | None:
        """Forward and backward of micro-batches; why memory ran out, or None."""
        try:
            for batch in batches:
                self._last_loss = self._pass_all(model, batch, targets)
            if self.accelerator.sync_gradients:  # the step's last micro-batch; clipping comes next
                self._low.close()
                self._bank.send_back()
        except torch.OutOfMemoryError as error:
            return first_line(error)
        return None

    def _pass_all(
        self, model: nn.Module, batch: dict[str, Any], targets: Tensor | int | None
    ) -> Tensor:
        rest = {name: tensor for name, tensor in batch.items() if name != "tokens"}
        total = torch.zeros((), device=self.args.device)
        for part in self.passes.cut(rest):
            if self._pet is not None:
                self._pet.take(part)
            total += super().training_step(model, part, targets)
        self._loss += total
        self._counts.append(batch["tokens"])  # read when the step is over: reading waits
        self._micro_batches += 1
        return total

    def _begin_again(self, short: str) -> None:
        when = f"step {self.state.global_step + 1}"
        if self._ranks.several:
            raise no_smaller_passes(when, short)
        self.passes.halve(when, short)
        self.adapted.zero_grad(set_to_none=True)
        given = self._given
        self.begin_step()
        self._given = given

    # ---- steps

    def _begin_counting(self) -> None:
        self._given = []
        self._passed = False
        self._micro_batches = 0
        self._counts: list[Tensor] = []
        self._step_targets = 0
        self._loss: Tensor = torch.zeros((), device=self.args.device)
        self._task_loss: Tensor = torch.zeros((), device=self.args.device)
        self._step_began = time.monotonic()
        self._held_s = 0.0

    def begin_step(self) -> None:
        """Called before the first micro-batch of a step."""
        self._keeper.writer.check()
        seed_step(self.args.seed, self.state.global_step, self._ranks.number)
        self._begin_counting()
        if self._pet is not None:
            self._pet.begin(self.state.global_step)
        self._bank.open()
        self._low.open()

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        self._grad_norm = self.accelerator.clip_grad_norm_(self._trained, self.args.max_grad_norm)
        return self._grad_norm

    def before_update(self) -> None:
        """Keep the rates about to be used; take the gradients away where the step is bad.

        An optimiser leaves parameters without a gradient, and their states, as they are.
        """
        self._rates = tuple(group["lr"] for group in self._bare_optimizer().param_groups)
        self._readings = read_together(
            self.accelerator.reduce(self._loss, "mean"),
            self.accelerator.reduce(self._task_loss, "mean"),
            self._grad_norm,
            self._counts,
            torch.as_tensor(self._step_targets, device=self.args.device),
        )
        step, found = self.state.global_step + 1, self._readings
        self._bad = self.guard.judge(step, found.loss, found.grad_norm)
        if self._bad is None:
            return
        self.adapted.zero_grad(set_to_none=True)
        told = f"{self._bad} It is left out"
        if self._settings.bad_step == "back_off":
            lower_rates(self._bare_schedule(), self._settings.back_off_factor)
            told += f"; learning rates are multiplied by {self._settings.back_off_factor:g}"
        self._around.emit.log("warning", f"{told}.")
        self._around.emit.stats({"bad_steps": self.guard.seen.bad})

    def finish_step(self) -> None:
        """After the update: count the step, which is written down by `settle`."""
        total = partial(self._ranks.total, device=self.args.device)
        tokens = round(total(self._readings.tokens))
        self.counters["tokens"] += tokens
        self.counters["targets"] += self._readings.targets
        self._book.keep(
            FinishedStep(
                step=self.state.global_step,
                readings=self._readings,
                rates=self._rates,
                pet={} if self._pet is None else self._pet.measured(total),
                tokens=tokens,
                all_tokens=self.counters["tokens"],
                took_s=max(time.monotonic() - self._step_began - self._held_s, 1e-9),
                skipped=self._bad is not None,
            )
        )

    def settle(self) -> None:
        """Write the finished step to the series and tell the engine, if that is still to be done.

        It comes before whatever saves the training, pauses it or ends it by itself, and else when
        the next step's first pass has been handed to the device.
        """
        if self._book.settled:
            return
        self._book.settle()
        if self._ranks.first:
            self._keeper.prepare(self._snapshot)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Nothing: the Trainer's summary of a training tells nothing that is not told already."""

    # ---- evaluation

    def evaluation_due(self) -> bool:
        """Whether the held-out loss after the present step is still to be measured."""
        return self.examination.due(self.state.global_step)

    def evaluate_if_due(self) -> None:
        """Do what a pause or the start left undone. Raises `EndedEarly` where that is all."""
        if self.evaluation_due():
            self.evaluate()
        elif self.examination.samples_due(self.state.global_step):
            self.examination.write_samples(self._subject(), self.state.global_step)
        if self.examination.best.ended:
            raise EndedEarly

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The held-out loss after the present step; what follows from it; sample answers."""
        step, subject = self.state.global_step, self._subject()
        result = {"eval_loss": self.examination.measure(subject, step)}
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, result
        )
        if self.examination.judge(step, result["eval_loss"]):
            self.control.should_save = True
        if self.examination.best.ended:
            self.control.should_save = self.control.should_training_stop = True
        self.examination.write_samples(subject, step)
        return result

    def _subject(self) -> Subject:
        return Subject(
            ready=self._evaluating,
            precision=self.accelerator.autocast,
            passes=self.passes,
            point=self._pause_point,
            device=self.args.device,
        )

    @contextmanager
    def _evaluating(self) -> Iterator[PeftModel]:
        """The model in evaluation, without gradients, its rotations built."""
        set_evaluating(self.adapted)
        with torch.no_grad():
            self._bank.open()
            self._low.open()
            try:
                yield self.adapted
            finally:
                self._low.close()
                self._bank.close()

    # ---- pause and checkpoints

    def _pause_point(self) -> None:
        asked = time.monotonic()
        if self._around.pause.requested:
            self.settle()
        self._around.pause.point(self._save_for_pause)
        self._held_s += time.monotonic() - asked

    def checkpoint_due(self) -> str | None:
        """Why a checkpoint is due after the present step; None when it is not."""
        return self._keeper.due(self.state.global_step)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._keep("end" if self.examination.best.ended else self.checkpoint_due() or "best")

    def _keep(self, reason: str) -> None:
        if not self._ranks.first:
            return
        standing = (self.state.global_step, *self.examination.counters().values())
        self._keeper.keep(reason, standing, self._snapshot)

    def _save_for_pause(self) -> None:
        """Return when a checkpoint of this very moment is durable."""
        self.settle()
        self._keep("pause")
        self._keeper.writer.wait()

    def _snapshot(self) -> Snapshot:
        assert self._book.settled  # or its line would be missing before the marks
        beside: dict[str, Any] = {
            "counters": {**self.counters, **self.examination.counters()},
            "marks": self._around.marks(),
            "course": {
                "best": self.examination.best.state(),
                "guard": self.guard.state(),
                "passes": self.passes.state(),
                "steering": steering_of(self._settings),
            },
        }
        if self.optimizer is None:  # a training at its end, in an evaluation that was left undone
            assert self._resume is not None
            return replace(self._resume, **beside)
        optimizer = self._bare_optimizer()
        rates = [group["lr"] for group in optimizer.param_groups]
        return Snapshot(
            step=self.state.global_step,
            identity=self._identity,
            weights=trained_weights(self.adapted),
            optimizer=optimizer_state(optimizer, self._names),
            schedule={"rates": rates, "scheduler": self._scheduler().state_dict()},
            trainer={**asdict(self.state), "log_history": []},
            **beside,
        )

    def _bare_optimizer(self) -> Any:
        return getattr(self.optimizer, "optimizer", self.optimizer)

    def _bare_schedule(self) -> Any:
        return getattr(self.lr_scheduler, "scheduler", self.lr_scheduler)

    def _scheduler(self) -> Any:
        assert self.lr_scheduler is not None
        return self.lr_scheduler

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        assert self._resume is not None
        place = str(self._around.store.path(self._resume.step))
        require_fitting(self._resume, trained_weights(self.adapted), place)
        put_weights(self.adapted, self._resume.weights)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or self._resume is None:
            return
        optimizer = self._bare_optimizer()
        try:
            restore_optimizer(optimizer, self._names, self._resume.optimizer)
        except KeyError as error:
            raise not_fitting(str(error), checkpoint) from error
        self._scheduler().load_state_dict(dict(self._resume.schedule["scheduler"]))
        for group, rate in zip(optimizer.param_groups, self._resume.schedule["rates"], strict=True):
            group["lr"] = rate

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Nothing to load: every step seeds its generators itself."""

    def go_on(self) -> None:
        """Train to the end, from the snapshot if there is one; HardPause passes through.

        On return the last checkpoint is durable. Raises `ResourceError` where the disk is full,
        memory does not suffice, also outside a step's passes, or the GPU is lost.
        """
        # what is loaded now stays to the end: walking over it again and again takes some per cent
        gc.collect()
        gc.freeze()
        told = lost_device_told(self._around.run_root.name)
        try:
            self._verify_best()
            with self._keeper.writer, told, suppress(EndedEarly):
                self._go_on()
        finally:
            gc.unfreeze()  # or no cycle of it would ever be collected in this process
        self.adapter_step, self.adapter_counters = self.state.global_step, self.counters
        if takes_best(self._settings) and self._ranks.first:
            self._take_best()

    def _go_on(self) -> None:
        if self._resume is None:
            self.train()
            return
        if self._resume.step < self.args.max_steps:
            self.train(resume_from_checkpoint=str(self._around.store.path(self._resume.step)))
            return
        self._load_from_checkpoint("")
        self.state.global_step = self._resume.step
        self.evaluate_if_due()

    def _verify_best(self) -> None:
        """Look for another best at once, and not after hours, where its checkpoint is lost."""
        resume, step = self._resume, self.examination.best.step
        if resume is None or not takes_best(self._settings) or step in (None, resume.step):
            return
        assert step is not None
        instead = f"the lowest held-out loss from step {resume.step} on"

        def is_kept() -> bool:
            return kept_best(self._around, step, self._identity, instead) is not None

        if not self._ranks.from_first(is_kept):
            self.examination.look_for_best_anew(resume.step)

    def _take_best(self) -> None:
        """Put back the weights of the lowest held-out loss; the last stay where they are lost."""
        last, step = self.state.global_step, self.examination.best.step
        if step is None or step == last:
            return
        instead = f"an adapter from step {last}, the last, in place of step {step}, the best"
        best = kept_best(self._around, step, self._identity, instead)
        if best is None:
            return
        require_fitting(best, trained_weights(self.adapted), str(self._around.store.path(step)))
        put_weights(self.adapted, best.weights)
        self.adapter_step, self.adapter_counters = step, dict(best.counters)


def _forget_gradients(parameters: Sequence[nn.Parameter], set_to_none: bool = True) -> None:
    """`Module.zero_grad` of a model that trains these and nothing else."""
    assert set_to_none
    for parameter in parameters:
        parameter.grad = None
