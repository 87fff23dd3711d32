"""The adapter folder as others expect it: PEFT loads it, the hub reads its card."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from so8t_core.contract.errors import ModelError
from so8t_core.contract.settings import Settings
from so8t_core.model.adapter import Adapter
from so8t_core.model.card import front_matter, hub_datasets, hub_name, shown_base
from so8t_core.model.weights import ModelFolder
from so8t_core.training.adapter import write_adapter
from so8t_core.training.base_model import set_evaluating
from tests.training.trial import OLDER_NAME, context, train

IDS = torch.arange(5, 25)[None]
Trained = tuple[Path, torch.Tensor]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Trained:
    """A run and the logits of the trained model itself, on an unquantised base."""
    from tests.training.trial import make_run

    torch.set_num_threads(1)
    root = make_run(tmp_path_factory.mktemp("adapter") / "run", model)
    kept: list[torch.Tensor] = []

    def writing(folder: Path, adapted: Any, *rest: Any) -> None:
        set_evaluating(adapted)
        with torch.no_grad():
            kept.append(adapted(IDS).logits)
        write_adapter(folder, adapted, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("so8t_core.phases.train.write_adapter", writing)
        train(context(root, base_storage="float32", gate_learning_rate=0.05))
    return root, kept[0]


@OLDER_NAME
def test_peft_gives_the_trained_logits_on_the_gated_base(trained: Trained, model: Path) -> None:
    root, expected = trained
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        untrained = base(IDS).logits
        adapted = PeftModel.from_pretrained(base, str(root / "train" / "adapter"))
        assert torch.equal(adapted(IDS).logits, expected)
        for gate in base.model.layers:  # and the gates are part of it
            gate.self_attn.rotation_gate.modules_to_save["default"].reset_parameters()
        without = adapted(IDS).logits
    assert not torch.allclose(without, expected, atol=1e-4)
    assert not torch.allclose(untrained, expected, atol=1e-4)


def test_peft_gives_them_where_our_package_is_not_installed(
    trained: Trained, model: Path, tmp_path: Path
) -> None:
    root, expected = trained
    program = f"""
import sys
sys.modules["so8t_core"] = None
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
torch.set_num_threads(1)
base = AutoModelForCausalLM.from_pretrained(
    {str(model)!r}, trust_remote_code=True, dtype=torch.float32
)
adapted = PeftModel.from_pretrained(base, {str(root / "train" / "adapter")!r}).eval()
with torch.no_grad():
    torch.save(adapted(torch.arange(5, 25)[None]).logits, {str(tmp_path / "logits.pt")!r})
print(type(base).__module__.split(".")[0])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.stdout.split() == ["transformers_modules"]
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected)


def test_the_card_is_read_by_the_hubs_own_reader(straight: Any) -> None:
    root, outcome, _ = straight
    path = root / "train" / "adapter" / "README.md"
    card = ModelCard.load(path)
    assert card.data.library_name == "peft"
    assert card.data.license == "other"
    assert card.data.license_name == "see-below"
    assert card.data.language == "ja"
    assert card.data.base_model == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert card.data.tags == ["lora", "so8t"]
    assert path in outcome.outputs


def test_the_card_shows_the_manifests_figures(straight: Any) -> None:
    root, outcome, _ = straight
    text = (root / "train" / "adapter" / "README.md").read_text()
    figures = outcome.figures
    assert f"| tokens seen | {figures['tokens']:,} |" in text
    assert f"| held-out loss after | {figures['adapter_eval_loss']:.4f} |" in text
    assert "went on to step" not in text
    assert f"| mean rotation, radians | {figures['rotation_angle_mean_rad']:.4f} |" in text
    assert "| CC-BY-4.0 | 7 |" in text
    assert f"| trained weights | {outcome.digest} |" in text
    assert "| learning_rate | 0.001 |" in text
    assert str(root) not in text


def test_of_data_and_a_checkpoint_of_the_users_own_nothing_is_claimed(
    new_run: Callable[[str], Path], tmp_path: Path, model: Path
) -> None:
    rows = tmp_path / "own.jsonl"
    rows.write_text('{"text": "東京都は日本の首都であり、電車が走ります。"}\n' * 8)
    root = new_run("own")
    train(context(root, dataset=str(rows), max_steps=1, train_gates=False, model_path=str(model)))
    text = (root / "train" / "adapter" / "README.md").read_text()
    assert "nothing is known of its licences" in text
    assert "Japanese text" not in text
    assert "Personal data was masked" not in text
    assert ModelCard(text).data.language is None
    assert "| gate parameters | 0 |" in text
    assert "mean rotation" not in text
    assert "base_model" not in text  # nobody said what the checkpoint was made from


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("starter", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("tiny", None),
        ("AXCXEPT/Borea-Phi-3.5-mini-Instruct-Jp", "AXCXEPT/Borea-Phi-3.5-mini-Instruct-Jp"),
        ("/models/Borea-Phi-3.5-mini", "Borea-Phi-3.5-mini"),
        ("./モデル", None),
        ("./a: b\nlicense: mit", None),
    ],
)
def test_the_header_names_a_base_only_as_the_hub_can(base: str, expected: str | None) -> None:
    assert hub_name(base) == expected
    assert "/models" not in shown_base(base)
    header = front_matter(base, library="peft")
    assert ("base_model:" in header) == (expected is not None)
    assert ModelCard(header + "text").data.license == "other"


def test_data_sets_of_the_hub_are_named_and_local_ones_are_not() -> None:
    for source, name, expected in (
        ("dataset", "owner/pages", ("owner/pages",)),
        ("dataset", "/data/own/pages", ()),
        ("demo", "owner/pages", ()),
    ):
        settings = Settings.model_validate({"crawl": {"source": source, "dataset": name}})
        assert hub_datasets(settings) == expected
    assert "datasets:\n- owner/pages\n" in front_matter(
        "tiny", library="peft", datasets=["owner/pages"]
    )


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "gates.safetensors"])
def test_tensors_that_were_changed_since_are_not_folded(
    straight: Any, model: Path, tmp_path: Path, name: str
) -> None:
    root, _, _ = straight
    folder = shutil.copytree(root / "train" / "adapter", tmp_path / "adapter")
    checkpoint = ModelFolder.read(model)
    assert Adapter.read(folder, checkpoint).pairs
    tensors = load_file(folder / name)
    first = min(tensors)
    save_file(tensors | {first: tensors[first] + 1.0}, folder / name, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"{name} is not what the training wrote"):
        Adapter.read(folder, checkpoint)
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is not what the training wrote"):
        Adapter.read(folder, checkpoint)
