from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, Phi3ForCausalLM

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.contract.settings import Settings
from so8t_core.evaluation.models import load_tuned
from so8t_core.phases.base import HardPause, Outcome
from so8t_core.phases.export import run
from tests.evaluation.trial import PausingGate, context, own_base_context


def export(inputs: Path, folder: Path, **changed: Any) -> Outcome:
    return run(context(inputs, folder, "export", **changed))


@pytest.fixture(scope="module")
def whole(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return export(trained, folder), folder / "export"


def test_the_folded_model_is_a_stock_phi3_with_the_trained_models_logits(
    trained: Path, whole: tuple[Outcome, Path]
):
    folded = AutoModelForCausalLM.from_pretrained(whole[1] / "folded")
    assert type(folded) is Phi3ForCausalLM
    assert not any("rotation" in name for name in load_file(whole[1] / "folded/model.safetensors"))
    tuned = load_tuned(
        trained / "integrate" / "checkpoint", trained / "train" / "adapter", "cpu", torch.float32
    )
    ids = torch.tensor([[1, 300, 17, 42, 401, 5]])
    with torch.inference_mode():
        expected, found = tuned(ids).logits, folded(ids).logits
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()


def test_a_training_on_a_base_of_one_s_own_is_folded_onto_that_base(
    trained: Path, whole: tuple[Outcome, Path], tmp_path: Path
):
    ctx = own_base_context(trained, tmp_path, "export", gguf_types=["F16"], modelfile_type=None)
    outcome = run(ctx)
    assert outcome.figures["fold"]["digest"] == whole[0].figures["fold"]["digest"]
    assert outcome.extra_inputs.keys() == {"base_model"}
    fields = gguf.GGUFReader(next((ctx.folder / "gguf").glob("*.gguf"))).fields
    told = [name for name in fields if name.endswith("base.sha256")]
    assert len(told) == 1
    for card in ("README.md", "folded/README.md"):
        text = (ctx.folder / card).read_text()
        assert "a gated checkpoint" in text
        assert "no such base" not in text


def test_the_proof_is_recorded(whole: tuple[Outcome, Path]):
    recorded = json.loads((whole[1] / "fold.json").read_text())
    assert recorded["proof"] == whole[0].figures["proof"]
    assert 0 < recorded["proof"]["relative"] < 1e-4
    assert recorded["fold"]["folded_layers"] == 4


def test_every_output_is_there_and_named(whole: tuple[Outcome, Path]):
    names = {path.relative_to(whole[1]).as_posix() for path in whole[0].outputs}
    assert {
        "fold.json",
        "folded/config.json",
        "folded/model.safetensors",
        "folded/tokenizer.json",
        "gguf/so8t-ja-F16.gguf",
        "gguf/so8t-ja-Q8_0.gguf",
        "Modelfile",
    } <= names
    assert all(path.is_file() for path in whole[0].outputs)
    assert not list(whole[1].rglob("*.partial"))


def test_a_gguf_says_what_it_was_made_from(whole: tuple[Outcome, Path]):
    reader = gguf.GGUFReader(whole[1] / "gguf" / "so8t-ja-F16.gguf")
    assert reader.fields["so8t.train.sha256"].contents() == "digest of train"
    folded = reader.fields["so8t.folded.sha256"].contents()
    assert folded == whole[0].figures["fold"]["digest"]


@pytest.mark.parametrize("pause_at", [1, 20, 28, 29, 30, 60, 90, 130])
def test_an_export_that_was_left_anywhere_ends_with_the_same_result(
    trained: Path, whole: tuple[Outcome, Path], tmp_path: Path, pause_at: int
):
    with pytest.raises(HardPause):
        run(context(trained, tmp_path, "export", pause=PausingGate(pause_at)))
    outcome = export(trained, tmp_path)
    assert outcome.digest == whole[0].digest
    for path in whole[0].outputs:
        assert (tmp_path / "export" / path.relative_to(whole[1])).read_bytes() == path.read_bytes()


def test_what_is_complete_is_not_made_again(
    trained: Path, whole: tuple[Outcome, Path], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr("so8t_core.export.artifacts.fold_checkpoint", refuse)
    monkeypatch.setattr("so8t_core.export.artifacts.write_gguf", refuse)
    assert export(trained, whole[1].parent).digest == whole[0].digest


def test_a_lost_or_cut_file_is_made_again(trained: Path, whole: tuple[Outcome, Path]):
    f16, q8 = (whole[1] / "gguf" / f"so8t-ja-{type_}.gguf" for type_ in ("F16", "Q8_0"))
    before = f16.read_bytes(), q8.read_bytes()
    f16.unlink()
    q8.write_bytes(before[1][:-7])
    assert export(trained, whole[1].parent).digest == whole[0].digest
    assert (f16.read_bytes(), q8.read_bytes()) == before


def test_a_fold_that_is_too_far_away_fails_and_says_how_far(trained: Path, tmp_path: Path):
    with pytest.raises(ModelError, match=r"1e-12 is allowed") as failure:
        export(trained, tmp_path, proof_limit_float32=1e-12)
    assert "of their scale" in str(failure.value)
    assert json.loads((tmp_path / "export" / "fold.json").read_text())["proof"]["relative"] > 1e-12
    assert not (tmp_path / "export" / "gguf").exists()


def test_a_wrong_fold_does_not_pass(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Folding with the transposed rotation, as the first attempt did, is caught by the proof."""
    from so8t_core.model import so8

    right = so8.rotate_rows
    monkeypatch.setattr(so8, "rotate_rows", lambda w, r: right(w, r.transpose(-1, -2)))
    with pytest.raises(ModelError, match="logits differ"):
        export(trained, tmp_path)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrower_folds_have_their_own_limits(trained: Path, tmp_path: Path, dtype: str):
    outcome = export(trained, tmp_path, folded_dtype=dtype, gguf_types=[], modelfile_type=None)
    assert outcome.figures["fold"]["weights_dtype"] == {"bfloat16": "BF16", "float16": "F16"}[dtype]
    assert 1e-5 < outcome.figures["proof"]["relative"] < outcome.figures["proof"]["limit"]
    assert outcome.figures["gguf"] == {}


def test_no_trained_adapter_is_named(trained: Path, tmp_path: Path):
    ctx = context(trained, tmp_path, "export")
    (tmp_path / "train").unlink()
    with pytest.raises(InputMissing, match="no trained adapter"):
        run(ctx)


def test_without_a_tokenizer_the_fold_alone_is_made_and_said(trained: Path, tmp_path: Path):
    ctx = context(trained, tmp_path, "export")
    (tmp_path / "integrate").unlink()
    shutil.copytree(
        trained / "integrate",
        tmp_path / "integrate",
        ignore=lambda _, names: [name for name in names if "token" in name or "jinja" in name],
    )
    outcome = run(ctx)
    assert outcome.figures["gguf"] == {}
    assert any("no tokenizer" in note for note in outcome.notes)
    assert outcome.figures["proof"]["relative"] < 1e-4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gguf_types": ["F16"]}, "modelfile_type Q8_0 is not among gguf_types"),
        ({"gguf_types": ["F16", "F16", "Q8_0"]}, "names a type twice"),
        ({"name": "../x"}, "pattern"),
    ],
)
def test_contradictory_settings_are_refused(changed: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Settings.model_validate({"export": changed})
