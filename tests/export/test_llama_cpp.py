"""Our files in llama.cpp itself, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.contract.settings.export import ExportSettings
from so8t_core.evaluation.readers import TorchReader, llama_reader
from so8t_core.export import k_quants
from so8t_core.export.gguf import GgufSource, write_gguf
from so8t_core.export.gguf_values import load_gguf_values
from so8t_core.export.k_quants import write_k_quant
from so8t_core.export.llama_check import LlamaReference, opened, tokenise
from so8t_core.export.odd_text import odd_texts
from so8t_core.model.loading import load_base, load_tokenizer
from so8t_core.phases.base import HardPause
from so8t_core.phases.standalone import OpenGate
from tests.export.sentencepiece_model import (
    TEMPLATE,
    with_phi3_normaliser,
    write_model,
    write_sentencepiece,
)

installed = pytest.mark.skipif(
    find_spec("llama_cpp") is None,
    reason="llama-cpp-python is an extra",
)
WIDE_SPACES = "\u3000\u00a0\u0085"


@pytest.fixture(scope="module")
def base(trained: Path) -> Path:
    return trained / "base"


@pytest.fixture(scope="module")
def source(base: Path) -> GgufSource:
    return GgufSource.of(base)


@pytest.fixture(scope="module")
def exact(source: GgufSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exact") / "m-F32.gguf"
    return write_gguf(source, path, type_="F32", name="trial", provenance={"a": "b"}).path


@pytest.fixture(scope="module")
def reference(base: Path) -> LlamaReference:
    return LlamaReference.of(base, ExportSettings(), trust_remote_code=False)


@installed
def test_llama_cpp_computes_what_the_model_computes(reference: LlamaReference, exact: Path):
    found = reference.require_close(exact, "F32", None, lambda: None)
    assert found.relative < 1e-4
    assert found.clear_agreement == 1
    assert found.texts_tokenised_equally == found.texts == 304


@installed
@pytest.mark.parametrize("normaliser", ["library", "phi3"])
def test_chats_of_a_sentencepiece_model_with_longrope_are_read_alike(
    tmp_path: Path, normaliser: str
):
    """Logits beyond the original context too, where the long factors rule."""
    folder = tmp_path / "model"
    folder.mkdir()
    write_sentencepiece(folder, template=TEMPLATE)
    write_model(folder)
    if normaliser == "phi3":
        with_phi3_normaliser(folder)
    source = GgufSource.of(folder)
    path = write_gguf(source, tmp_path / "m.gguf", type_="F32", name="m", provenance={}).path
    tokenizer = load_tokenizer(folder)
    model = load_base(folder, dtype=torch.float32)
    ids = [1, *(3 + n * 7 % 390 for n in range(199))]
    with opened(path, context_tokens=512) as llama:
        for text in odd_texts(200, 3, tokenizer.all_special_tokens):
            narrow = "".join(letter for letter in text if letter not in WIDE_SPACES)
            chat = f"<|user|>\n{narrow}<|end|>\n<|assistant|>\n"
            assert tokenise(llama, chat) == tokenizer(chat).input_ids, repr(narrow)
        llama.eval(ids)
        found = torch.from_numpy(llama.scores[: len(ids)].copy())
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0]
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


@installed
def test_a_file_of_another_model_is_refused(base: Path, reference: LlamaReference, tmp_path: Path):
    folder = tmp_path / "other"
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"] *= 1.05
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    path = tmp_path / "m.gguf"
    other = GgufSource.of(folder)

    def inspect(written: Path) -> None:
        reference.require_close(written, "F32", None, lambda: None)

    with pytest.raises(ModelError, match="logits that differ"):
        write_gguf(other, path, type_="F32", name="m", provenance={}, inspect=inspect)
    assert not list(tmp_path.glob("m.gguf*"))


@installed
def test_what_is_no_model_is_named(reference: LlamaReference, tmp_path: Path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF but not really" * 10)
    with pytest.raises(ModelError, match="does not load"):
        reference.require_close(path, "F32", None, lambda: None)


@installed
def test_both_readers_read_the_same(source: GgufSource, exact: Path):
    ids = [5, 300, 17, 42, 401, 5, 77]
    values = load_gguf_values(source, exact, dtype=torch.float32, device="cpu")
    ours = TorchReader(values)
    assert ours.end_ids == source.end_ids
    with llama_reader(exact, context_tokens=64, end_ids=source.end_ids) as theirs:
        whole = [reader.read(ids) for reader in (ours, theirs)]
        assert torch.allclose(*whole, atol=2e-2)
        for reader, expected in zip((ours, theirs), whole, strict=True):
            reader.cut(3)
            again = reader.read(ids[3:])
            assert torch.allclose(again, expected[3:], atol=1e-4)
            reader.cut(0)
            last = reader.read(ids, last_only=True)
            assert last.shape == (1, expected.shape[1])
            assert torch.allclose(last[0], expected[-1], atol=1e-4)


@installed
def test_k_quants_are_made_by_llama_cpp_and_compared(
    source: GgufSource, exact: Path, tmp_path: Path
):
    path = tmp_path / "m-Q4_K_M.gguf"
    written = write_k_quant(source, exact, path, type_="Q4_K_M", pause=OpenGate())
    assert 0.01 < written.check.relative_error < 0.15
    assert written.check.types["F32"] > 0
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.file_type"].contents() == 15
    assert reader.fields["so8t.a"].contents() == "b"


@installed
def test_a_k_quant_of_another_model_is_refused_and_leaves_nothing(
    base: Path, exact: Path, tmp_path: Path
):
    folder = tmp_path / "other"
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.2.self_attn.qkv_proj.weight"
    weights[name] = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(1))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    path = tmp_path / "out" / "m.gguf"
    with pytest.raises(ModelError, match=r"blk\.2\.attn_qkv"):
        write_k_quant(GgufSource.of(folder), exact, path, type_="Q4_K_M", pause=OpenGate())
    assert list(path.parent.iterdir()) == []


class LeavingGate(OpenGate):
    """Wants a pause from the start, and leaves at the second point."""

    requested = True
    points = 0

    def point(self, save: Any = None) -> None:
        self.points += 1
        if self.points == 2:
            raise HardPause


def test_a_pause_holds_the_child_and_leaving_ends_it(
    source: GgufSource, exact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    children = []
    popen = k_quants.subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        sleeping = [command[0], "-c", "import time; time.sleep(60)"]
        children.append(popen(sleeping, **options))
        return children[0]

    monkeypatch.setattr(k_quants.subprocess, "Popen", start)
    monkeypatch.setattr(k_quants, "require_llama_cpp", lambda type_: None)
    path = tmp_path / "out" / "m.gguf"
    with pytest.raises(HardPause):
        write_k_quant(source, exact, path, type_="Q4_K_M", pause=LeavingGate())
    assert children[0].poll() is not None
    assert list(path.parent.iterdir()) == []


def test_what_llama_cpp_says_of_a_failure_is_passed_on(
    source: GgufSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(k_quants, "require_llama_cpp", lambda type_: None)
    with pytest.raises(ModelError, match="could not make a Q4_K_M file"):
        write_k_quant(
            source, tmp_path / "none.gguf", tmp_path / "m.gguf", type_="Q4_K_M", pause=OpenGate()
        )
    assert list(tmp_path.iterdir()) == []


def test_without_llama_cpp_k_quants_are_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("so8t_core.model.llama_cpp_package.find_spec", lambda name: None)
    with pytest.raises(InputMissing, match="which is not installed"):
        k_quants.require_llama_cpp("Q4_K_M")


@pytest.mark.parametrize(("type_", "limit"), [("F32", 0.0), ("Q8_0", 0.02), ("Q4_0", 0.2)])
def test_a_files_values_stand_in_a_torch_model(
    base: Path, source: GgufSource, tmp_path: Path, type_: Any, limit: float
):
    path = write_gguf(source, tmp_path / "m.gguf", type_=type_, name="m", provenance={}).path
    model = load_gguf_values(source, path, dtype=torch.float32, device="cpu")
    weights = load_file(base / "model.safetensors")
    for name, parameter in model.named_parameters():
        error = np.linalg.norm((parameter.detach() - weights[name]).numpy())
        assert error <= limit * np.linalg.norm(weights[name].numpy())


def test_odd_texts_are_the_same_for_a_seed_and_hold_false_tags():
    first = list(odd_texts(300, 5, ("<|end|>", "<|user|>")))
    assert first == list(odd_texts(300, 5, ("<|end|>", "<|user|>")))
    assert first != list(odd_texts(300, 6, ("<|end|>", "<|user|>")))
    joined = "".join(first)
    for piece in ("<|end|>", "<|end|", "<|END|>", "🏳️‍🌈", "\x07", "\u200b", "▁"):
        assert piece in joined


@installed
def test_llama_cpp_leaves_no_file_open_at_exit():
    program = "from so8t_core.model.llama_cpp_package import load; load().llama_backend_init()"
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "ResourceWarning" not in ended.stderr
