"""A Hugging Face tokenizer in GGUF's words.

Two kinds exist in Phi-3 models: byte-level BPE (GGUF calls it gpt2) and SentencePiece with byte
fallback (GGUF calls it llama). What the live tokenizer does is the truth, not its settings files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gguf import GGUFWriter, TokenType

from so8t_core.contract.errors import ModelError

# llama.cpp reads these four from the vocabulary when general.name contains phi-3 or phi3, and
# only then strips the spaces after control tokens, as Phi-3's own tokenizer does.
_PHI3_TOKENS = frozenset({"</s>", "<unk>", "<s>", "<|endoftext|>"})
_PHI3_NAMES = ("phi-3", "phi3")
_FIRST_AS_NEVER = (
    "the tokenizer puts a space before text that begins without a control token, llama.cpp never; "
    "chats are cut alike"
)
_FIRST_AS_ALWAYS = (
    "llama.cpp puts a space before the text after a control token, the tokenizer only at the start"
)
_WIDE_SPACES = (
    "after a control token the tokenizer drops every kind of space, llama.cpp only those of ASCII"
)
_ADDED_SCORE = -1000.0
_UNUSED_SCORE = -10000.0


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id and how text becomes tokens. `scores` for llama, `merges` for gpt2 alone.

    `strips_after_control`: spaces after a control token are dropped (Phi-3's `rstrip`).
    `caveat`: where llama.cpp cuts text otherwise, because GGUF has no word for it.
    """

    model: Literal["gpt2", "llama"]
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    special_ids: dict[str, int]
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    chat_template: str | None
    strips_after_control: bool
    caveat: str | None = None

    @classmethod
    def of(cls, folder: Path, size: int) -> Vocabulary:
        """Read the tokenizer of a folder for a model with `size` embeddings.

        Raises `ModelError` where GGUF has no name for what the tokenizer does.
        """
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not tokenizer.is_fast:
            raise _unsupported(folder, "it has no tokenizer.json")
        parts = json.loads(tokenizer.backend_tokenizer.to_str())
        if parts["model"]["type"] != "BPE":
            raise _unsupported(folder, f"its model is {parts['model']['type']}, not BPE")
        if parts["model"].get("byte_fallback"):
            vocabulary = _sentencepiece(folder, parts, tokenizer, size)
        else:
            vocabulary = _byte_level(folder, parts, tokenizer, size)
        return vocabulary

    def add_to(self, writer: GGUFWriter) -> None:
        """Add the tokenizer's metadata keys."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.scores:
            writer.add_token_scores(self.scores)
        if self.merges:
            writer.add_token_merges(self.merges)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        writer.add_add_space_prefix(self.add_space_prefix)
        add_id = {
            "bos": writer.add_bos_token_id,
            "eos": writer.add_eos_token_id,
            "unk": writer.add_unk_token_id,
            "pad": writer.add_pad_token_id,
        }
        for kind, token_id in self.special_ids.items():
            add_id[kind](token_id)
        if self.chat_template is not None:
            writer.add_chat_template(self.chat_template)

    def display_name(self, name: str) -> str:
        """`name` as general.name, such that llama.cpp treats control tokens as the tokenizer does.

        llama.cpp decides it by whether that name contains "phi-3". Raises `ModelError` where the
        wanted name says so of a vocabulary that lacks the tokens llama.cpp then looks up.
        """
        named = any(part in name.lower() for part in _PHI3_NAMES)
        if self.strips_after_control and set(self.tokens) >= _PHI3_TOKENS:
            return name if named else f"{name} (Phi-3)"
        if named:
            raise ModelError(
                "llama.cpp would treat this model's control tokens as Phi-3's because of its name.",
                where=f"export.name: {name}",
                hint="Choose an export.name without phi3 or phi-3.",
            )
        return name


def _unsupported(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"The tokenizer has no counterpart in GGUF: {why}.",
        where=str(folder),
        hint="Byte-level BPE and SentencePiece with byte fallback can be exported. "
        "Set export.gguf_types to an empty list to export the folded checkpoint alone.",
    )


def _frame(
    parts: dict[str, Any], tokenizer: Any, model: Literal["gpt2", "llama"], size: int
) -> Vocabulary:
    """What both kinds share: unused tokens everywhere, and how the tokenizer frames a text."""
    probe = tokenizer("a").input_ids
    template = tokenizer.chat_template
    ids = {
        kind: getattr(tokenizer, f"{kind}_token_id")
        for kind in ("bos", "eos", "unk", "pad")
        if getattr(tokenizer, f"{kind}_token_id") is not None
    }
    return Vocabulary(
        model=model,
        pre="default",
        tokens=tuple(f"[PAD{token_id}]" for token_id in range(size)),
        types=(int(TokenType.UNUSED),) * size,
        merges=(),
        scores=(),
        special_ids=ids,
        add_bos=probe[0] == ids.get("bos"),
        add_eos=probe[-1] == ids.get("eos"),
        add_space_prefix=False,
        chat_template=template if isinstance(template, str) else None,
        strips_after_control=any(t["rstrip"] and t["special"] for t in parts["added_tokens"]),
    )


def _check_ids(folder: Path, parts: dict[str, Any], size: int) -> None:
    ids = [*parts["model"]["vocab"].values(), *(token["id"] for token in parts["added_tokens"])]
    if max(ids) >= size:
        raise ModelError(
            f"The tokenizer has token {max(ids)}, but the model embeds only {size} tokens.",
            where=str(folder),
            hint="Use the tokenizer that belongs to the base model.",
        )


def _byte_level(folder: Path, parts: dict[str, Any], tokenizer: Any, size: int) -> Vocabulary:
    _check_ids(folder, parts, size)
    if parts["normalizer"] is not None:
        raise _unsupported(folder, f"it normalises text ({parts['normalizer']['type']})")
    frame = _frame(parts, tokenizer, "gpt2", size)
    tokens, types = list(frame.tokens), list(frame.types)
    for token, token_id in parts["model"]["vocab"].items():
        tokens[token_id], types[token_id] = token, int(TokenType.NORMAL)
    for added in parts["added_tokens"]:
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
    merges = (m if isinstance(m, str) else " ".join(m) for m in parts["model"]["merges"])
    return replace(
        frame,
        pre=_pre_tokenizer(folder, parts["pre_tokenizer"]),
        tokens=tuple(tokens),
        types=tuple(types),
        merges=tuple(merges),
    )


def _pre_tokenizer(folder: Path, pre: dict[str, Any] | None) -> str:
    """llama.cpp's name for how a byte-level tokenizer cuts text before it merges."""
    steps = pre["pretokenizers"] if pre and pre["type"] == "Sequence" else [pre]
    match steps:
        case [{"type": "ByteLevel", "use_regex": True, "add_prefix_space": False}]:
            return "gpt-2"
        case [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "use_regex": True, "add_prefix_space": False},
        ]:
            return "smollm"
        case _:
            kinds = ", ".join(step["type"] if step else "none" for step in steps)
            raise _unsupported(folder, f"its pre-tokenizer ({kinds}) is not a known one")


def _sentencepiece(folder: Path, parts: dict[str, Any], tokenizer: Any, size: int) -> Vocabulary:
    from sentencepiece import SentencePieceProcessor

    _check_ids(folder, parts, size)
    path = folder / "tokenizer.model"
    if not path.is_file():
        raise ModelError(
            "A SentencePiece tokenizer needs its tokenizer.model, which holds the pieces' scores.",
            where=str(path),
            hint="Copy tokenizer.model from the base model into the base folder and run again.",
        )
    processor = SentencePieceProcessor(model_file=str(path))
    frame = _frame(parts, tokenizer, "llama", size)
    tokens, types = list(frame.tokens), list(frame.types)
    scores = [_UNUSED_SCORE] * size
    for piece_id in range(min(processor.vocab_size(), size)):
        tokens[piece_id] = processor.IdToPiece(piece_id)
        scores[piece_id] = processor.GetScore(piece_id)
        types[piece_id] = _piece_type(processor, piece_id)
    for added in parts["added_tokens"]:
        if types[added["id"]] == TokenType.UNKNOWN:
            continue
        kind = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
        tokens[added["id"]], types[added["id"]] = added["content"], int(kind)
        scores[added["id"]] = _ADDED_SCORE
    add_space_prefix, caveat = _space_prefix(_space_scheme(parts), frame.chat_template is not None)
    caveats = [caveat, _WIDE_SPACES if frame.strips_after_control else None]
    return replace(
        frame,
        tokens=tuple(tokens),
        types=tuple(types),
        scores=tuple(scores),
        add_space_prefix=add_space_prefix,
        caveat="; ".join(one for one in caveats if one) or None,
    )


def _space_prefix(scheme: str, chats: bool) -> tuple[bool, str | None]:
    """What llama.cpp is told, and where that is not the tokenizer's way.

    llama.cpp knows `always` and `never`. A chat begins with a control token, where `first` is
    `never`.
    """
    if scheme != "first":
        return scheme == "always", None
    return (False, _FIRST_AS_NEVER) if chats else (True, _FIRST_AS_ALWAYS)


def _piece_type(processor: Any, piece_id: int) -> int:
    if processor.IsUnknown(piece_id):
        return int(TokenType.UNKNOWN)
    if processor.IsControl(piece_id):
        return int(TokenType.CONTROL)
    if processor.IsByte(piece_id):
        return int(TokenType.BYTE)
    if processor.IsUnused(piece_id):
        return int(TokenType.UNUSED)
    return int(TokenType.NORMAL)


def _space_scheme(parts: dict[str, Any]) -> str:
    """Where a space is put before text: `always` (after control tokens too), `first`, `never`."""
    normalizer = parts["normalizer"] or {}
    steps = normalizer.get("normalizers", [normalizer])
    if any(step.get("type") == "Prepend" for step in steps):
        return "always"
    pre = parts["pre_tokenizer"] or {}
    return str(pre["prepend_scheme"]) if pre.get("type") == "Metaspace" else "never"
