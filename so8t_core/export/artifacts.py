"""Everything that an export makes, each once: fold, proof, GGUF files, Modelfile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.files import canonical_json, sha256_text, write_json, write_text
from so8t_core.contract.settings.export import K_QUANTS, GgufType
from so8t_core.export.gguf import GgufFile, GgufSource, write_gguf
from so8t_core.export.k_quants import require_llama_cpp, write_k_quant
from so8t_core.export.llama_check import LlamaReference
from so8t_core.export.model_card import render_folded_card
from so8t_core.export.modelfile import ChatForm, recipe_for, recognise_chat, render_modelfile
from so8t_core.export.ollama import RECIPE_FILE
from so8t_core.export.progress import ExportProgress
from so8t_core.export.proof import prove_fold, require_equal
from so8t_core.model import llama_cpp_package
from so8t_core.model.base import base_input
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.loading import load_tokenizer
from so8t_core.model.weights import ModelFolder

if TYPE_CHECKING:
    from so8t_core.phases.base import PhaseContext

_EXACT: tuple[GgufType, ...] = ("F32", "F16")
"""What a K-quant may be made from, the better one first."""


def require_tools(ctx: PhaseContext) -> None:
    """Say at once, not after the fold, what is missing: `InputMissing` without llama.cpp."""
    settings = ctx.settings.export
    for type_ in sorted(K_QUANTS.intersection(settings.gguf_types)):
        require_llama_cpp(type_)
    if settings.llama_cpp == "required":
        llama_cpp_package.require("export.llama_cpp is `required`, and llama.cpp is not installed.")


@dataclass
class Artifacts:
    """Makes the artifacts in the phase's folder.

    `load_trained` gives the gated checkpoint with its adapter, nothing merged, in float32, and with
    the rotations that are folded in.
    `outputs` and `notes` grow with what is made.
    """

    ctx: PhaseContext
    load_trained: Callable[[], Any]
    outputs: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def make(self) -> dict[str, Any]:
        """Make what is not there; the figures of all of it. `ModelError` where a check fails."""
        fold = self.progress.make(self.folded, self.made_from("fold"), self._fold)
        self._say_proof(fold["proof"])
        figures: dict[str, Any] = {**fold, "gguf": {}, "modelfile": None}
        self.outputs += [path for path in sorted(self.folded.rglob("*")) if path.is_file()]
        self.outputs.append(self.ctx.folder / "fold.json")
        if ModelFolder.read(self.folded).has_tokenizer:
            self._files(fold["fold"]["digest"], figures)
        else:
            self.notes.append(
                "The model has no tokenizer, so neither GGUF files nor a Modelfile were written."
            )
        return figures

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

    @cached_property
    def reference(self) -> LlamaReference | None:
        """What llama.cpp is compared with; None where it is off or not installed."""
        settings = self.ctx.settings.export
        if settings.llama_cpp == "off" or not llama_cpp_package.is_installed():
            return None
        self.ctx.emit.log("info", "Comparing the GGUF files' tokens and logits in llama.cpp.")
        return LlamaReference.of(
            self.folded, settings, trust_remote_code=self.ctx.settings.model.trust_remote_code
        )

    @cached_property
    def own_base(self) -> dict[str, str]:
        """The user's checkpoint as it is now: its tokenizer may not be what the training found."""
        return base_input(self.ctx.settings.train.model_path)

    def made_from(self, *what: str) -> str:
        """Digest of a name and of everything that decides what an export makes."""
        return sha256_text(
            canonical_json(
                [
                    *what,
                    *self.own_base.values(),
                    self.ctx.gated_digest,
                    self.ctx.inputs["train"].digest,
                    self.ctx.settings.export.model_dump(mode="json"),
                ]
            )
        )

    def gguf_path(self, type_: GgufType) -> Path:
        """Where a GGUF file lies."""
        return self.ctx.folder / "gguf" / f"{self.ctx.settings.export.name}-{type_}.gguf"

    def _fold(self) -> dict[str, Any]:
        checkpoint = self.ctx.gated
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
            onto=settings.fold_onto,
            project=settings.fold_nearest_rotation,
            pause=self.ctx.pause,
        )
        self.ctx.pause.point()
        self.ctx.emit.log("info", "Comparing the folded model's logits with the trained one's.")
        proof = prove_fold(
            self._load_to_prove,
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
        write_text(self.folded / "README.md", render_folded_card(self.ctx.settings, facts["proof"]))
        return facts

    def _load_to_prove(self) -> Any:
        """The trained model on the base that was folded onto."""
        trained = self.load_trained()
        if self.ctx.settings.export.fold_onto == "int8":
            from so8t_core.model.int8 import store_as_int8

            store_as_int8(trained)
        return trained

    def _say_proof(self, proof: dict[str, Any]) -> None:
        self.ctx.emit.stats({"fold_relative_difference": proof["relative"]})
        self.ctx.emit.log(
            "info",
            f"The folded model's logits differ by {proof['relative']:.1e} of their scale from the "
            f"trained model's ({proof['limit']:.0e} allowed).",
        )

    def _files(self, folded_digest: str, figures: dict[str, Any]) -> None:
        """Every GGUF file and the Modelfile; K-quants last, since they are made from the others."""
        settings = self.ctx.settings.export
        for type_ in sorted(settings.gguf_types, key=K_QUANTS.__contains__):
            path = self.gguf_path(type_)
            facts = self.progress.make(
                path,
                self.made_from("gguf", type_, folded_digest),
                partial(self._gguf, type_, folded_digest),
            )
            figures["gguf"][type_] = facts
            self.outputs.append(path)
            self._note_kept(type_, facts["kept_f16"])
            self._note_caveat(type_, facts["tokenizer_caveat"])
        if settings.gguf_types and not any("llama_cpp" in f for f in figures["gguf"].values()):
            self.notes.append(
                "The GGUF files were not loaded in llama.cpp: it is off or not installed."
            )
        if settings.modelfile_type is not None:
            form = self._modelfile(settings.modelfile_type)
            figures["modelfile"] = form.kind.name if form else "without template"
            self.outputs += [self.ctx.folder / "Modelfile", self.ctx.folder / RECIPE_FILE]
            if form is None:
                self._note_no_template()

    def _gguf(self, type_: GgufType, folded_digest: str) -> dict[str, Any]:
        path = self.gguf_path(type_)
        checked: dict[str, Any] = {}

        def inspect(written: Path) -> None:
            if self.reference is not None:
                found = self.reference.require_close(
                    written, type_, self.source.vocabulary.caveat, self.ctx.pause.point
                )
                checked["llama_cpp"] = asdict(found)

        if type_ in K_QUANTS:
            written = self._k_quant(type_, folded_digest, inspect)
        else:
            written = self._plain(type_, path, folded_digest, inspect)
        self.ctx.emit.item("gguf", path.name, size_bytes=written.size_bytes)
        return {
            "file": path.relative_to(self.ctx.folder).as_posix(),
            "size_bytes": written.size_bytes,
            "tensors": written.check.tensors,
            "tensor_types": dict(written.check.types),
            "relative_error": written.check.relative_error,
            "max_absolute_error": written.check.max_absolute_error,
            "kept_f16": list(written.kept_f16),
            "tokenizer_caveat": self.source.vocabulary.caveat,
            **checked,
        }

    def _plain(
        self,
        type_: GgufType,
        path: Path,
        folded_digest: str,
        inspect: Callable[[Path], None] | None,
    ) -> GgufFile:
        own = self.ctx.settings.train.model_path is not None
        return write_gguf(
            self.source,
            path,
            type_=type_,
            name=self.ctx.settings.export.name,
            provenance={
                "folded.sha256": folded_digest,
                f"{'base' if own else 'integrate'}.sha256": self.ctx.gated_digest,
                "train.sha256": self.ctx.inputs["train"].digest,
            },
            step=self._step(path),
            inspect=inspect,
        )

    def _k_quant(
        self, type_: GgufType, folded_digest: str, inspect: Callable[[Path], None]
    ) -> GgufFile:
        path = self.gguf_path(type_)
        made = next((t for t in _EXACT if t in self.ctx.settings.export.gguf_types), None)
        finer = self.gguf_path(made) if made else path.with_name(f".finer-than-{path.name}")
        if made is None:
            self._plain("F16", finer, folded_digest, None)
        try:
            return write_k_quant(
                self.source,
                finer,
                path,
                type_=type_,
                pause=self.ctx.pause,
                step=self._step(path),
                inspect=inspect,
            )
        finally:
            if made is None:
                finer.unlink(missing_ok=True)

    def _step(self, path: Path) -> Callable[[int, int], None]:
        def step(done: int, total: int) -> None:
            self.ctx.pause.point()
            self.ctx.emit.progress(done, total, "tensors", path.name)

        return step

    def _note_kept(self, type_: GgufType, kept: list[str]) -> None:
        if kept:
            why = f"their rows are no multiple of {type_}'s block"
            self.ctx.emit.fallback(f"{len(kept)} tensors of {type_} are stored as F16", why)
            self.notes.append(f"{len(kept)} tensors of the {type_} file are stored as F16: {why}.")

    def _note_caveat(self, type_: GgufType, caveat: str | None) -> None:
        if caveat is not None:
            what = f"The {type_} file's tokenizer is not quite the model's"
            self.ctx.emit.fallback(what, caveat)
            self.notes.append(f"{what}: {caveat}.")

    def _modelfile(self, type_: GgufType) -> ChatForm | None:
        tokenizer = load_tokenizer(
            self.folded, trust_remote_code=self.ctx.settings.model.trust_remote_code
        )
        form = recognise_chat(tokenizer)
        recipe = recipe_for(
            self.gguf_path(type_).relative_to(self.ctx.folder),
            form,
            context_tokens=self.ctx.settings.export.modelfile_context_tokens,
        )
        recipe.write(self.ctx.folder)
        write_text(self.ctx.folder / "Modelfile", render_modelfile(recipe))
        return form

    def _note_no_template(self) -> None:
        why = "the tokenizer has no chat template of a known form (Phi-3, ChatML)"
        self.ctx.emit.fallback("The Modelfile names no template", why)
        self.notes.append(f"The Modelfile names no template: {why}.")


def lasting(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures that do not depend on whether llama.cpp is installed."""
    files = {
        type_: {key: value for key, value in facts.items() if key != "llama_cpp"}
        for type_, facts in figures["gguf"].items()
    }
    return {**figures, "gguf": files}
