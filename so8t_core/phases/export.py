"""Phase 7: the trained model folded into a stock Phi-3, proven, and written as GGUF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.files import canonical_json, sha256_text, write_json, write_text
from so8t_core.contract.settings.export import GgufType
from so8t_core.evaluation.models import load_tuned
from so8t_core.export.gguf import GgufSource, write_gguf
from so8t_core.export.modelfile import ChatForm, recognise_chat, render_modelfile
from so8t_core.export.progress import ExportProgress
from so8t_core.export.proof import prove_fold, require_equal
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.loading import load_tokenizer, quiet_transformers
from so8t_core.model.weights import ModelFolder
from so8t_core.phases.base import Outcome, PhaseContext


def run(ctx: PhaseContext) -> Outcome:
    """Fold and prove, write the GGUF files, write the Modelfile; each artifact only once.

    Raises `InputMissing` without integrate or train, `ModelError` where a proof or check fails.
    """
    with quiet_transformers():
        return _Export(ctx).run()


@dataclass
class _Export:
    ctx: PhaseContext

    def run(self) -> Outcome:
        folder, settings = self.ctx.folder, self.ctx.settings.export
        fold = self.progress.make(self.folded, self._made_from("fold"), self._fold)
        self._say_proof(fold["proof"])
        outputs = [
            *sorted(path for path in self.folded.rglob("*") if path.is_file()),
            folder / "fold.json",
        ]
        figures: dict[str, Any] = {**fold, "gguf": {}, "modelfile": None}
        notes = []
        if not ModelFolder.read(self.folded).has_tokenizer:
            notes.append(
                "The model has no tokenizer, so neither GGUF files nor a Modelfile were written."
            )
        else:
            for type_ in settings.gguf_types:
                path = self._gguf_path(type_)
                figures["gguf"][type_] = self.progress.make(
                    path,
                    self._made_from("gguf", type_, fold["fold"]["digest"]),
                    partial(self._gguf, type_, fold["fold"]["digest"]),
                )
                outputs.append(path)
                notes += self._note_kept(type_, figures["gguf"][type_]["kept_f16"])
                notes += self._note_caveat(type_, figures["gguf"][type_]["tokenizer_caveat"])
            if settings.modelfile_type is not None:
                form = self._modelfile(settings.modelfile_type)
                figures["modelfile"] = form.kind.name if form else "without template"
                outputs.append(folder / "Modelfile")
                if form is None:
                    notes.append(self._no_template())
        return Outcome(
            digest=sha256_text(canonical_json([self._made_from("all"), figures])),
            outputs=tuple(outputs),
            figures=figures,
            notes=tuple(notes),
        )

    @property
    def folded(self) -> Path:
        """The folded checkpoint's folder."""
        return self.ctx.folder / "folded"

    @property
    def progress(self) -> ExportProgress:
        """What is complete."""
        return ExportProgress(self.ctx.folder / "progress.json")

    @cached_property
    def source(self) -> GgufSource:
        """Config and tokenizer, read once for all GGUF files."""
        return GgufSource.of(self.folded)

    def _made_from(self, *what: str) -> str:
        return sha256_text(
            canonical_json(
                [
                    *what,
                    self.ctx.inputs["integrate"].digest,
                    self.ctx.inputs["train"].digest,
                    self.ctx.settings.export.model_dump(mode="json"),
                ]
            )
        )

    def _gguf_path(self, type_: GgufType) -> Path:
        return self.ctx.folder / "gguf" / f"{self.ctx.settings.export.name}-{type_}.gguf"

    def _fold(self) -> dict[str, Any]:
        checkpoint = self.ctx.input_folder("integrate") / "checkpoint"
        adapter = self.ctx.input_folder("train") / "adapter"
        if not (adapter / "adapter_config.json").is_file():
            raise InputMissing(
                "There is no trained adapter to fold.",
                where=str(adapter),
                hint="Run the train phase first, or use `so8t export --fold-only`.",
            )
        settings = self.ctx.settings.export
        self.ctx.emit.log("info", f"Folding LoRA and rotations into {settings.folded_dtype}.")
        report = fold_checkpoint(
            checkpoint,
            self.folded,
            adapter=adapter,
            dtype=settings.folded_dtype,
            pause=self.ctx.pause,
        )
        self.ctx.pause.point()
        self.ctx.emit.log("info", "Comparing the folded model's logits with the trained one's.")
        proof = prove_fold(
            lambda: load_tuned(checkpoint, adapter, "cpu", torch.float32),
            self.folded,
            settings,
            trust_remote_code=self.ctx.settings.model.trust_remote_code,
            step=self.ctx.pause.point,
        )
        facts = {
            "fold": report.as_figures(),
            "proof": {**asdict(proof), "limit": settings.proof_limit()},
        }
        write_json(self.ctx.folder / "fold.json", facts)
        require_equal(proof, self.folded, settings)
        return facts

    def _say_proof(self, proof: dict[str, Any]) -> None:
        self.ctx.emit.stats({"fold_relative_difference": proof["relative"]})
        self.ctx.emit.log(
            "info",
            f"The folded model's logits differ by {proof['relative']:.1e} of their scale from the "
            f"trained model's ({proof['limit']:.0e} allowed).",
        )

    def _gguf(self, type_: GgufType, folded_digest: str) -> dict[str, Any]:
        path = self._gguf_path(type_)
        written = write_gguf(
            self.source,
            path,
            type_=type_,
            name=self.ctx.settings.export.name,
            provenance={
                "folded.sha256": folded_digest,
                "integrate.sha256": self.ctx.inputs["integrate"].digest,
                "train.sha256": self.ctx.inputs["train"].digest,
            },
            step=self._step(path),
        )
        self.ctx.emit.item("gguf", path.name, size_bytes=written.size_bytes)
        return {
            "file": path.relative_to(self.ctx.folder).as_posix(),
            "size_bytes": written.size_bytes,
            "tensors": written.check.tensors,
            "relative_error": written.check.relative_error,
            "max_absolute_error": written.check.max_absolute_error,
            "kept_f16": list(written.kept_f16),
            "tokenizer_caveat": self.source.vocabulary.caveat,
        }

    def _step(self, path: Path) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            self.ctx.pause.point()
            self.ctx.emit.progress(done, total, "tensors", path.name)

        return step

    def _note_kept(self, type_: GgufType, kept: list[str]) -> list[str]:
        if not kept:
            return []
        why = f"their rows are no multiple of {type_}'s block"
        self.ctx.emit.fallback(f"{len(kept)} tensors of {type_} are stored as F16", why)
        return [f"{len(kept)} tensors of the {type_} file are stored as F16: {why}."]

    def _note_caveat(self, type_: GgufType, caveat: str | None) -> list[str]:
        if caveat is None:
            return []
        self.ctx.emit.fallback(f"The {type_} file's tokenizer is not quite the model's", caveat)
        return [f"The {type_} file's tokenizer is not quite the model's: {caveat}."]

    def _modelfile(self, type_: GgufType) -> ChatForm | None:
        tokenizer = load_tokenizer(
            self.folded, trust_remote_code=self.ctx.settings.model.trust_remote_code
        )
        form = recognise_chat(tokenizer)
        text = render_modelfile(
            self._gguf_path(type_).relative_to(self.ctx.folder),
            form,
            context_tokens=self.ctx.settings.export.modelfile_context_tokens,
        )
        write_text(self.ctx.folder / "Modelfile", text)
        return form

    def _no_template(self) -> str:
        why = "the tokenizer has no chat template of a known form (Phi-3, ChatML)"
        self.ctx.emit.fallback("The Modelfile names no template", why)
        return f"The Modelfile names no template: {why}."
