from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from gguf import TokenType

from so8t_core.contract.errors import ModelError
from so8t_core.export.vocabulary import Vocabulary
from so8t_core.model.loading import load_tokenizer
from tests.export.sentencepiece_model import (
    TEMPLATE,
    with_phi3_normaliser,
    write_sentencepiece,
)


@pytest.fixture(scope="module")
def base(trained: Path) -> Path:
    return trained / "base"


def with_tokenizer(base: Path, folder: Path, **changed: Any) -> Path:
    shutil.copytree(base, folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, **changed}))
    return folder


@pytest.fixture(scope="module")
def phi3_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sentencepiece(tmp_path_factory.mktemp("sentencepiece"))


def test_every_id_has_the_token_of_the_tokenizer(base: Path):
    tokenizer = load_tokenizer(base)
    found = Vocabulary.of(base, 600)
    assert len(found.tokens) == len(found.types) == 600
    for token, token_id in tokenizer.get_vocab().items():
        assert found.tokens[token_id] == token
    assert found.types[tokenizer.convert_tokens_to_ids("<|end|>")] == TokenType.CONTROL
    assert found.types[400] == TokenType.NORMAL
    assert found.types[599] == TokenType.UNUSED
    assert found.special_ids["eos"] == tokenizer.eos_token_id
    assert not found.add_bos


def test_how_text_is_cut_before_merging_decides_the_name(base: Path, tmp_path: Path):
    byte_level = json.loads((base / "tokenizer.json").read_text())["pre_tokenizer"]
    digits = {"type": "Digits", "individual_digits": True}
    both = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    assert Vocabulary.of(base, 512).pre == "gpt-2"
    assert Vocabulary.of(with_tokenizer(base, tmp_path / "a", pre_tokenizer=both), 512).pre == (
        "smollm"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": {"type": "NFKC"}},
    ],
)
def test_what_gguf_has_no_name_for_is_refused(base: Path, tmp_path: Path, changed: dict[str, Any]):
    folder = with_tokenizer(base, tmp_path / "odd", **changed)
    with pytest.raises(ModelError, match="no counterpart in GGUF"):
        Vocabulary.of(folder, 512)


def test_more_tokens_than_embeddings_are_refused(base: Path):
    with pytest.raises(ModelError, match="embeds only 500"):
        Vocabulary.of(base, 500)


def test_pieces_keep_their_scores_and_kinds(phi3_like: Path):
    found = Vocabulary.of(phi3_like, 400)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(phi3_like / "tokenizer.model"))
    tokenizer = load_tokenizer(phi3_like)
    assert found.model == "llama"
    for piece_id in range(3, 330):
        assert found.tokens[piece_id] == pieces.IdToPiece(piece_id)
        assert found.scores[piece_id] == pieces.GetScore(piece_id)
    assert found.types[0] == TokenType.UNKNOWN
    assert found.types[pieces.PieceToId("<0x41>")] == TokenType.BYTE
    assert found.types[tokenizer.convert_tokens_to_ids("<|end|>")] == TokenType.CONTROL
    assert found.add_bos == (tokenizer("a").input_ids[0] == tokenizer.bos_token_id)
    assert found.add_space_prefix


def test_where_spaces_go_before_text_is_said_or_its_difference_is(phi3_like: Path, tmp_path: Path):
    """Phi-3's own normaliser is what llama.cpp does; the library's newer scheme is not."""
    plain = Vocabulary.of(phi3_like, 400)
    assert "only at the start" in str(plain.caveat)
    assert plain.add_space_prefix
    shutil.copytree(phi3_like, tmp_path / "phi3")
    with_phi3_normaliser(tmp_path / "phi3")
    found = Vocabulary.of(tmp_path / "phi3", 400)
    assert found.add_space_prefix
    assert "only at the start" not in str(found.caveat)
    assert "drops every kind of space" in str(found.caveat)


def test_of_a_chat_models_first_space_the_chats_decide(tmp_path: Path):
    chat = Vocabulary.of(write_sentencepiece(tmp_path, template=TEMPLATE), 400)
    assert not chat.add_space_prefix
    assert "chats are cut alike" in str(chat.caveat)


def test_sentencepiece_without_its_model_is_refused(phi3_like: Path, tmp_path: Path):
    folder = tmp_path / "lost"
    shutil.copytree(phi3_like, folder)
    (folder / "tokenizer.model").unlink()
    with pytest.raises(ModelError, match=r"needs its tokenizer\.model"):
        Vocabulary.of(folder, 400)


def test_the_name_tells_llama_cpp_whether_control_tokens_eat_spaces(phi3_like: Path, base: Path):
    """llama.cpp takes "phi-3" in general.name for that, and then needs Phi-3's own tokens."""
    eats = Vocabulary.of(phi3_like, 400)
    assert eats.strips_after_control
    assert eats.display_name("mine") == "mine (Phi-3)"
    assert eats.display_name("my-phi-3") == "my-phi-3"
    plain = Vocabulary.of(base, 512)
    assert plain.display_name("mine") == "mine"
    with pytest.raises(ModelError, match="because of its name"):
        plain.display_name("my-Phi3")
