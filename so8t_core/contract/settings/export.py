"""Settings of the export section."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from so8t_core.contract.settings.base import Section

GgufType = Literal[
    "F32", "F16", "BF16", "Q8_0", "Q5_0", "Q4_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"
]
K_QUANTS: frozenset[GgufType] = frozenset({"Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M"})
"""Types that llama.cpp makes; all others are written here."""


class ExportSettings(Section):
    """Settings of the export section."""

    name: str = Field(
        "so8t-ja",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Name of the exported model: stem of the GGUF files and their general.name.",
    )
    folded_dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="How the folded checkpoint is stored. float32 is exact and twice as large; "
        "GGUF files are made from it, so a narrower one also limits them.",
    )
    fold_onto: Literal["original", "int8"] = Field(
        "original",
        description="Which weights adapter and rotations are folded onto: the base's own, or "
        "`int8`, the rounded ones that a training on an int8 base saw. docs/log.md compares them.",
    )
    fold_nearest_rotation: bool = Field(
        False,
        description="Of gates with `free` matrices, fold the rotations nearest to them in place of "
        "the matrices, so that the folded weights keep norms; fold.json says how far they lay. The "
        "other parametrisations are rotations already.",
    )
    proof_prompts: tuple[str, ...] = Field(
        (
            "日本の首都は東京です。四季の変化に富み、",
            "質問: 図書館で本を借りるには何が必要ですか。\n回答:",
            "The capital of France is Paris, and the capital of Japan is",
            "def fibonacci(n: int) -> int:\n    ",
        ),
        min_length=1,
        description="Texts on which the folded model's logits are compared with the trained one's.",
    )
    proof_max_tokens: int = Field(
        128, ge=2, description="A proof prompt is cut after this many tokens."
    )
    proof_limit_float32: float = Field(
        1e-4,
        gt=0,
        description="Largest logit difference over the largest logit that a float32 fold may have.",
    )
    proof_limit_bfloat16: float = Field(0.05, gt=0, description="The same for bfloat16.")
    proof_limit_float16: float = Field(0.01, gt=0, description="The same for float16.")
    gguf_types: tuple[GgufType, ...] = Field(
        ("F16", "Q8_0"),
        description="GGUF files to write; none for an empty list. Q6_K, Q5_K_M, Q4_K_M and Q3_K_M "
        "are made by llama.cpp and need the package llama-cpp-python.",
    )
    llama_cpp: Literal["auto", "off", "required"] = Field(
        "auto",
        description="Whether each GGUF file is loaded in llama.cpp and its tokens and logits are "
        "compared with the folded model's: auto does so where llama-cpp-python is installed.",
    )
    measure: tuple[GgufType | Literal["folded"], ...] = Field(
        ("folded", "Q8_0"),
        description="What is measured on evaluate's very items, beside the base and the tuned "
        "model: the folded checkpoint, and GGUF files by their type. Types that are not written "
        "are not measured.",
    )
    modelfile_type: GgufType | None = Field(
        "Q8_0",
        description="GGUF that the Modelfile for Ollama names; null for no Modelfile.",
    )
    modelfile_context_tokens: int = Field(
        4096, ge=1, description="num_ctx of the Modelfile; Ollama's own default is small."
    )

    @model_validator(mode="after")
    def _modelfile_has_its_gguf(self) -> ExportSettings:
        if len(set(self.gguf_types)) != len(self.gguf_types):
            raise ValueError("gguf_types names a type twice")
        if self.modelfile_type is not None and self.modelfile_type not in self.gguf_types:
            raise ValueError(
                f"modelfile_type {self.modelfile_type} is not among gguf_types; "
                "add it there, or set modelfile_type to null"
            )
        return self

    def proof_limit(self) -> float:
        """The limit for the dtype that the folded checkpoint is stored in."""
        return {
            "float32": self.proof_limit_float32,
            "bfloat16": self.proof_limit_bfloat16,
            "float16": self.proof_limit_float16,
        }[self.folded_dtype]
