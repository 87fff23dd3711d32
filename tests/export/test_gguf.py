from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, Phi3Config, Phi3ForCausalLM

from so8t_core.contract.errors import ModelError
from so8t_core.export.gguf import GgufSource, write_gguf
from so8t_core.export.gguf_check import check_gguf
from so8t_core.phases.base import HardPause

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q5_0", "Q4_0")


@pytest.fixture(scope="module")
def base(trained: Path) -> Path:
    return trained / "base"


def write(folder: Path, path: Path, type_: Any = "F32", **options: Any):
    arguments = {"name": "trial", "provenance": {"train.sha256": "abc"}, **options}
    return write_gguf(GgufSource.of(folder), path, type_=type_, **arguments)


def fields(path: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in gguf.GGUFReader(path).fields.items()}


def with_config(base: Path, folder: Path, **changed: Any) -> Path:
    shutil.copytree(base, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changed}))
    return folder


@pytest.mark.parametrize("type_", TYPES)
def test_every_weight_arrives_under_its_name(base: Path, tmp_path: Path, type_: str):
    written = write(base, tmp_path / "m.gguf", type_)
    source = load_file(base / "model.safetensors")
    stored = {tensor.name: tensor for tensor in gguf.GGUFReader(written.path).tensors}
    names = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output.weight": "lm_head.weight",
        "blk.3.attn_qkv.weight": "model.layers.3.self_attn.qkv_proj.weight",
        "blk.0.ffn_up.weight": "model.layers.0.mlp.gate_up_proj.weight",
        "blk.2.ffn_down.weight": "model.layers.2.mlp.down_proj.weight",
        "blk.1.attn_output.weight": "model.layers.1.self_attn.o_proj.weight",
        "output_norm.weight": "model.norm.weight",
    }
    assert len(stored) == len(source) == written.check.tensors
    tolerances = {"F32": 0.0, "F16": 1e-3, "BF16": 8e-3, "Q8_0": 1e-2, "Q5_0": 0.08, "Q4_0": 0.14}
    tolerance = tolerances[type_]
    for ours, theirs in names.items():
        found = gguf.dequantize(stored[ours].data, stored[ours].tensor_type)
        expected = source[theirs].numpy()
        found = found.reshape(expected.shape)
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    assert stored["output_norm.weight"].tensor_type.name == "F32"
    assert stored["token_embd.weight"].tensor_type.name == type_


def test_the_metadata_say_what_llama_cpp_reads(base: Path, tmp_path: Path):
    found = fields(write(base, tmp_path / "m.gguf", "F16").path)
    assert found["general.architecture"] == "phi3"
    assert found["general.file_type"] == 1
    assert found["phi3.embedding_length"] == 64
    assert found["phi3.block_count"] == 4
    assert found["phi3.attention.head_count_kv"] == 2
    assert found["phi3.rope.dimension_count"] == 16
    assert found["phi3.context_length"] == 2048
    assert found["phi3.attention.sliding_window"] == 0
    assert found["tokenizer.ggml.model"] == "gpt2"
    assert found["tokenizer.ggml.pre"] == "gpt-2"
    assert found["so8t.train.sha256"] == "abc"
    assert "<|assistant|>" in found["tokenizer.chat_template"]


def test_writing_twice_gives_the_same_bytes(base: Path, tmp_path: Path):
    first, second = (write(base, tmp_path / name, "Q8_0").path for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_longrope_becomes_two_tensors_and_a_factor(base: Path, tmp_path: Path):
    long, short = [1.0 + n for n in range(8)], [1.0 + n / 10 for n in range(8)]
    folder = with_config(
        base,
        tmp_path / "long",
        max_position_embeddings=8192,
        original_max_position_embeddings=2048,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "partial_rotary_factor": 1.0,
            "long_factor": long,
            "short_factor": short,
        },
    )
    path = write(folder, tmp_path / "m.gguf", "Q8_0").path
    stored = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    assert stored["rope_factors_long.weight"].tolist() == np.float32(long).tolist()
    assert stored["rope_factors_short.weight"].tolist() == np.float32(short).tolist()
    found = fields(path)
    expected = math.sqrt(1 + math.log(4) / math.log(2048))
    assert found["phi3.rope.scaling.attn_factor"] == pytest.approx(expected)
    assert found["phi3.rope.scaling.original_context_length"] == 2048


def test_a_tied_head_is_left_out(base: Path, tmp_path: Path):
    folder = with_config(base, tmp_path / "tied", tie_word_embeddings=True)
    names = {t.name for t in gguf.GGUFReader(write(folder, tmp_path / "m.gguf").path).tensors}
    assert "token_embd.weight" in names
    assert "output.weight" not in names


def test_rows_that_fit_no_block_stay_float16_and_are_named(base: Path, tmp_path: Path):
    folder = tmp_path / "odd"
    shutil.copytree(base, folder)
    config = Phi3Config.from_pretrained(base, hidden_size=48, intermediate_size=64)
    Phi3ForCausalLM(config).save_pretrained(folder)
    written = write(folder, tmp_path / "m.gguf", "Q8_0")
    assert "blk.0.attn_qkv.weight" in written.kept_f16
    assert "blk.0.ffn_down.weight" not in written.kept_f16


def changed_weight(base: Path, folder: Path, value: float) -> Path:
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("value", [1e6, math.nan])
def test_what_float16_cannot_hold_is_an_error_and_leaves_nothing(
    base: Path, tmp_path: Path, value: float
):
    folder = changed_weight(base, tmp_path / "large", value)
    with pytest.raises(ModelError, match=r"blk\.1\.ffn_down"):
        write(folder, tmp_path / "out" / "m.gguf", "F16")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("type_", ["F32", "BF16", "Q8_0", "Q4_0"])
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_weight_that_is_no_number_is_an_error_in_every_type(
    base: Path, tmp_path: Path, type_: str, value: float
):
    folder = changed_weight(base, tmp_path / "broken", value)
    with pytest.raises(ModelError, match=r"infinite or not a number[^$]*blk\.1\.ffn_down"):
        write(folder, tmp_path / "out" / "m.gguf", type_)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "dynamic", "factor": 2.0},
        {"rope_type": "yarn", "factor": 2.0},
        {"rope_type": "llama3", "factor": 2.0},
    ],
    ids=lambda rope: rope["rope_type"],
)
def test_another_rope_type_is_named(base: Path, tmp_path: Path, rope: dict[str, Any], monkeypatch):
    real = AutoConfig.from_pretrained(base)
    real.rope_parameters = {**real.rope_parameters, **rope}
    monkeypatch.setattr(AutoConfig, "from_pretrained", lambda *_: real)
    with pytest.raises(ModelError, match=f"this is {rope['rope_type']}"):
        write(base, tmp_path / "m.gguf", "F32")


def test_a_pause_between_tensors_leaves_nothing(base: Path, tmp_path: Path):
    def step(done: int, total: int) -> None:
        if done == 30:
            raise HardPause

    with pytest.raises(HardPause):
        write(base, tmp_path / "out" / "m.gguf", "F16", step=step)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("type_", TYPES)
def test_one_changed_byte_of_a_weight_is_found(
    base: Path, tmp_path: Path, type_: str, monkeypatch: pytest.MonkeyPatch
):
    kept: dict[str, Any] = {}

    def remember(path: Path, plan: Any, read: Any, step: Any, *, digests: Any) -> Any:
        kept.update(plan=plan, read=read, digests=digests)
        return check_gguf(path, plan, read, step, digests=digests)

    monkeypatch.setattr("so8t_core.export.gguf.check_gguf", remember)
    path = write(base, tmp_path / "m.gguf", type_).path
    tensor = next(t for t in gguf.GGUFReader(path).tensors if t.name == "blk.2.attn_qkv.weight")
    damaged = bytearray(path.read_bytes())
    damaged[int(tensor.data_offset) + 35] ^= 0x01
    path.write_bytes(damaged)
    with pytest.raises(ModelError, match=r"blk\.2\.attn_qkv\.weight"):
        check_gguf(path, kept["plan"], kept["read"], digests=kept["digests"])


def test_a_gated_checkpoint_is_refused(trained: Path, tmp_path: Path):
    from so8t_core.model import register

    register()
    with pytest.raises(ModelError, match="Only a stock Phi-3"):
        write(trained / "integrate" / "checkpoint", tmp_path / "m.gguf")


def test_an_unknown_tensor_is_refused(base: Path, tmp_path: Path):
    folder = tmp_path / "more"
    shutil.copytree(base, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.0.self_attn.rotation_gate.theta"] = torch.zeros(8, 28)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="rotation_gate"):
        write(folder, tmp_path / "m.gguf")
