"""A small SentencePiece tokenizer with Phi-3's control tokens, and a model to go with it."""

from __future__ import annotations

import json
from pathlib import Path

import sentencepiece
from transformers import AddedToken, LlamaTokenizer, Phi3Config, Phi3ForCausalLM

PHI3_CONTROL = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
TEXT = "東京都は日本の首都です。\nThe capital of Japan is Tokyo.\n"
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def write_sentencepiece(folder: Path, *, template: str | None = None) -> Path:
    """A tokenizer with byte fallback, whose control tokens eat the spaces behind them."""
    (folder / "text").write_text(TEXT * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=330,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    vocabulary = {pieces.IdToPiece(n): n for n in range(pieces.vocab_size())}
    end = AddedToken("</s>", rstrip=True, special=True, normalized=False)  # as Phi-3's
    tokenizer = LlamaTokenizer(vocab=vocabulary, merges=merges_of(vocabulary), eos_token=end)
    tokenizer.add_special_tokens(
        {
            "extra_special_tokens": [
                AddedToken(token, rstrip=token != "<|endoftext|>", special=True, normalized=False)
                for token in PHI3_CONTROL
            ]
        }
    )
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def with_phi3_normaliser(folder: Path) -> None:
    """Let text be prepared as Phi-3's own tokenizer.json says."""
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prepend = {"type": "Prepend", "prepend": "▁"}
    content["normalizer"] = {"type": "Sequence", "normalizers": [prepend, space]}
    content["pre_tokenizer"] = None
    file.write_text(json.dumps(content))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_model(folder: Path) -> None:
    """A random Phi-3 of one layer with longrope, for 400 tokens."""
    factors = [1.0 + n / 10 for n in range(8)]
    config = Phi3Config(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        max_position_embeddings=512,
        original_max_position_embeddings=128,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0,
            "long_factor": [4 * factor for factor in factors],
            "short_factor": factors,
        },
    )
    Phi3ForCausalLM(config).save_pretrained(folder)


def merges_of(vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """The merges that a SentencePiece BPE model implies: its pieces come in the order of merging."""
    return [
        (piece[:cut], piece[cut:])
        for piece in sorted(vocabulary, key=vocabulary.__getitem__)
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary and not piece.startswith("<")
    ]
