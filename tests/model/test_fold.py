from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes.nn import Linear8bitLt
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, Phi3ForCausalLM

from so8t_core.contract.errors import InputMissing, ModelError, UsageError
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.evaluation.models import load_tuned
from so8t_core.model.compare import compare_logits
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.gate_checks import gates_of, randomise
from so8t_core.model.int8 import store_as_int8
from so8t_core.model.integrate import integrate
from so8t_core.model.loading import load_base, load_gated, quiet_transformers
from so8t_core.model.ops import reference
from so8t_core.model.projection import make_rotations
from so8t_core.model.weights import ModelFolder
from so8t_core.training.base_model import KEPT_IN_FULL

# peft 0.21 asks transformers 5.23 by the older name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

PROMPTS = [list(range(5, 40)), list(range(200, 180, -1))]
TARGETS = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]


@pytest.fixture
def turned(gated: Path, tmp_path: Path) -> Path:
    """The gated checkpoint with strong random rotations, saved by transformers."""
    model = load_gated(gated, dtype=torch.float32)
    randomise(model, spread=0.5, seed=3)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "turned", max_shard_size="300KB")
    return tmp_path / "turned"


def train_adapter(checkpoint: Path, output: Path, **options: Any) -> PeftModel:
    """A PEFT model with every tensor moved at random, saved as training saves it."""
    model = load_gated(checkpoint, dtype=torch.float32)
    config = LoraConfig(
        **{
            "r": 4,
            "lora_alpha": 8,
            "target_modules": TARGETS,
            "modules_to_save": ["rotation_gate"],
            "task_type": "CAUSAL_LM",
            **options,
        }
    )
    adapted = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for value in adapted.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=generator) * 0.1)
    adapted.save_pretrained(output)
    return adapted


def test_the_fold_is_the_rotated_model(turned: Path, tmp_path: Path) -> None:
    report = fold_checkpoint(turned, tmp_path / "folded")
    gated = load_gated(turned, dtype=torch.float32)
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    result = compare_logits(gated, folded, PROMPTS)
    assert result.relative < 1e-5
    assert result.top1_agreement == 1.0
    assert result.kl_nats < 1e-8
    assert report.folded_layers == 4
    assert report.gates_from == "checkpoint"
    assert report.max_angle_rad > 0.5


def test_the_transposed_rotation_would_be_seen(turned: Path, tmp_path: Path) -> None:
    """The first attempt's fold, with R on the wrong side, is far outside of the tolerance."""
    model = load_gated(turned, dtype=torch.float32)
    fold_checkpoint(turned, tmp_path / "right")
    with torch.no_grad():
        for gate in gates_of(model):
            gate.theta.neg_()
    with quiet_transformers():
        model.save_pretrained(tmp_path / "transposed")
    fold_checkpoint(tmp_path / "transposed", tmp_path / "wrong")
    right = load_base(tmp_path / "right", dtype=torch.float32)
    wrong = load_base(tmp_path / "wrong", dtype=torch.float32)
    assert compare_logits(right, wrong, PROMPTS).relative > 0.1


def test_free_matrices_are_folded_as_they_are_or_as_the_nearest_rotations(
    tiny: Path, tmp_path: Path
) -> None:
    free = ModelSettings.model_validate({"gate": {"parametrisation": "free"}})
    integrate(tiny, tmp_path / "gated", free)
    model = load_gated(tmp_path / "gated", dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for gate in gates_of(model):
            gate.theta += 0.2 * torch.randn(gate.theta.shape, generator=generator)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "stretched")
    as_they_are = fold_checkpoint(tmp_path / "stretched", tmp_path / "plain")
    nearest = fold_checkpoint(tmp_path / "stretched", tmp_path / "projected", project=True)
    assert as_they_are.projection_distance_max == 0.0
    assert as_they_are.max_orthogonality_error > 0.1
    assert nearest.projection_distance_max > 0.1
    assert nearest.max_orthogonality_error < 1e-5
    plain = load_base(tmp_path / "plain", dtype=torch.float32)
    assert compare_logits(model, plain, PROMPTS).relative < 1e-5
    projected = load_base(tmp_path / "projected", dtype=torch.float32)
    assert compare_logits(model, projected, PROMPTS).relative > 0.01
    make_rotations(model)
    assert compare_logits(model, projected, PROMPTS).relative < 1e-5


def test_an_adapters_free_matrices_are_proven_as_the_nearest_rotations(
    tiny: Path, tmp_path: Path
) -> None:
    free = ModelSettings.model_validate({"gate": {"parametrisation": "free"}})
    gated, adapter = tmp_path / "gated", tmp_path / "adapter"
    integrate(tiny, gated, free)
    as_trained = train_adapter(gated, adapter)
    fold_checkpoint(gated, tmp_path / "folded", adapter=adapter, project=True)
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    assert compare_logits(as_trained, folded, PROMPTS).relative > 0.01
    tuned = load_tuned(gated, adapter, "cpu", torch.float32, nearest=True)
    assert compare_logits(tuned, folded, PROMPTS).relative < 1e-5


def test_nothing_of_ours_is_left(turned: Path, tmp_path: Path) -> None:
    fold_checkpoint(turned, tmp_path / "folded")
    folder = ModelFolder.read(tmp_path / "folded")
    assert not [name for name in folder.tensors if "gate." in name and "gate_up" not in name]
    assert folder.config["model_type"] == "phi3"
    assert folder.config["architectures"] == ["Phi3ForCausalLM"]
    assert not {"auto_map", "gate_layers", "gate_parametrisation"} & set(folder.config)
    assert not list((tmp_path / "folded").glob("*.py"))
    with quiet_transformers():
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "folded")
    assert type(model) is Phi3ForCausalLM


def test_tokenizer_and_chat_template_travel_along(gated: Path, tmp_path: Path) -> None:
    report = fold_checkpoint(gated, tmp_path / "folded")
    assert report.has_tokenizer
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / "folded" / name).read_bytes() == (gated / name).read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"o_proj": 2}, "alpha_pattern": {"o_proj": 32}},
        {"target_modules": ["o_proj"], "layers_to_transform": [1]},
    ],
)
def test_adapter_and_gates_fold_into_what_peft_computes(
    gated: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapted = train_adapter(gated, tmp_path / "adapter", **options)
    report = fold_checkpoint(gated, tmp_path / "folded", adapter=tmp_path / "adapter")
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    assert compare_logits(adapted, folded, PROMPTS).relative < 1e-5
    assert report.gates_from == "adapter"
    assert report.merged_weights == (1 if "layers_to_transform" in options else 16)


def test_folding_onto_the_int8_base_gives_the_model_that_was_trained(
    gated: Path, tmp_path: Path
) -> None:
    """Adapter and gates on a base loaded in 8 bits, multiplied dequantised, against both folds."""
    adapted = train_adapter(gated, tmp_path / "adapter")
    assert store_as_int8(adapted) == 16
    distance = {}
    for onto in ("original", "int8"):
        folder = tmp_path / onto
        report = fold_checkpoint(gated, folder, adapter=tmp_path / "adapter", onto=onto)
        assert report.onto == onto
        folded = load_base(folder, dtype=torch.float32)
        distance[onto] = compare_logits(adapted, folded, PROMPTS).relative
    assert distance["int8"] < 1e-5
    assert distance["original"] > 1e-3


def test_the_weights_of_an_int8_fold_are_those_of_an_int8_load(gated: Path) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(
        gated,
        quantization_config=BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_skip_modules=list(KEPT_IN_FULL)
        ),
    )
    plain = load_gated(gated, dtype=torch.float32)
    store_as_int8(plain)
    compared = 0
    for name, weight in plain.named_parameters():
        module = loaded.get_submodule(name.rpartition(".")[0])
        if isinstance(module, Linear8bitLt):
            codes, scales = module.weight.data, module.weight.SCB
            assert torch.equal(reference.dequantize(codes, scales, torch.float32), weight), name
            compared += 1
    assert compared == 16


def test_the_adapter_holds_lora_and_gates_under_the_names_we_promise(
    gated: Path, tmp_path: Path
) -> None:
    train_adapter(gated, tmp_path / "adapter")
    names = set(load_file(tmp_path / "adapter" / "adapter_model.safetensors"))
    for layer in range(4):
        stem = f"base_model.model.model.layers.{layer}.self_attn"
        assert f"{stem}.rotation_gate.theta" in names
        assert f"{stem}.o_proj.lora_A.weight" in names


@pytest.mark.parametrize("how_many", [1, 4])
def test_gates_may_lie_beside_the_adapter(gated: Path, tmp_path: Path, how_many: int) -> None:
    adapted = train_adapter(gated, tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    theirs = [name for name in tensors if name.endswith("theta")][:how_many]
    gates = {name: tensors.pop(name) for name in theirs}
    save_file(tensors, weights)
    save_file(gates, tmp_path / "adapter" / "gates.safetensors")
    fold_checkpoint(gated, tmp_path / "folded", adapter=tmp_path / "adapter")
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    assert compare_logits(adapted, folded, PROMPTS).relative < 1e-5
    tuned = load_tuned(gated, tmp_path / "adapter", "cpu", torch.float32)
    assert compare_logits(adapted, tuned, PROMPTS).relative < 1e-5


@pytest.mark.parametrize(
    ("dtype", "code", "bound"), [("bfloat16", "BF16", 0.1), ("float16", "F16", 0.01)]
)
def test_the_asked_dtype_is_written_after_folding_in_float32(
    turned: Path, tmp_path: Path, dtype: Any, code: str, bound: float
) -> None:
    report = fold_checkpoint(turned, tmp_path / "folded", dtype=dtype)
    assert report.weights_dtype == code
    assert json.loads((tmp_path / "folded" / "config.json").read_text())["dtype"] == dtype
    gated = load_gated(turned, dtype=torch.float32)
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    assert compare_logits(gated, folded, PROMPTS).relative < bound


def test_folding_a_free_gate_uses_the_matrix_as_it_is(tiny: Path, tmp_path: Path) -> None:
    settings = ModelSettings.model_validate({"gate": {"parametrisation": "free"}})
    integrate(tiny, tmp_path / "gated", settings)
    model = load_gated(tmp_path / "gated", dtype=torch.float32)
    with torch.no_grad():
        for gate in gates_of(model):
            gate.theta.add_(torch.randn(gate.theta.shape) * 0.1)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "moved")
    report = fold_checkpoint(tmp_path / "moved", tmp_path / "folded")
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    assert compare_logits(model, folded, PROMPTS).relative < 1e-5
    assert report.max_orthogonality_error > 0.1


def test_folding_twice_gives_the_same_digest(turned: Path, tmp_path: Path) -> None:
    first = fold_checkpoint(turned, tmp_path / "one")
    second = fold_checkpoint(turned, tmp_path / "two" / "deeper")
    assert first == second


@pytest.fixture(scope="module")
def sound_adapter(gated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "adapter"
    train_adapter(gated, folder)
    return folder


def rewrite(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def spoil(adapter: Path) -> None:
        weights = adapter / "adapter_model.safetensors"
        tensors = load_file(weights)
        change(tensors)
        save_file(tensors, weights)

    return spoil


def reconfigure(**changes: Any) -> Callable[[Path], None]:
    def spoil(adapter: Path) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def without(key: str) -> Callable[[Path], None]:
    def spoil(adapter: Path) -> None:
        path = adapter / "adapter_config.json"
        config = json.loads(path.read_text())
        del config[key]
        path.write_text(json.dumps(config))

    return spoil


def recast(name: str, dtype: torch.dtype) -> Callable[[Path], None]:
    return rewrite(lambda tensors: tensors.update({name: tensors[name].to(dtype)}))


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda adapter: (adapter / name).write_text(text)


def as_folder(name: str) -> Callable[[Path], None]:
    def spoil(adapter: Path) -> None:
        (adapter / name).unlink(missing_ok=True)
        (adapter / name).mkdir()

    return spoil


STEM = "base_model.model.model.layers.0.self_attn"
TAIL = ".o_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (rewrite(lambda t: t.update(stray=torch.zeros(2))), "cannot be merged: stray"),
        (rewrite(lambda t: t.pop(f"{STEM}.o_proj.lora_B.weight")), "two sides"),
        (
            rewrite(lambda t: t.update({f"{STEM}.o_proj.lora_B.weight": torch.zeros(8, 4)})),
            "in the adapter and",
        ),
        (
            rewrite(lambda t: t[f"{STEM}.rotation_gate.theta"].fill_(float("nan"))),
            "NaN",
        ),
        (
            rewrite(
                lambda t: t.update(
                    {
                        "base_model.model.model.norm.lora_A.weight": torch.zeros(4, 64),
                        "base_model.model.model.norms.lora_B.weight": torch.zeros(64, 4),
                    }
                )
            ),
            "two sides",
        ),
        (rewrite(lambda t: t.clear()), "holds no tensors"),
        (
            rewrite(lambda t: t.update({f"{STEM}.o_proj.lora_A.weight": torch.ones(())})),
            "two sides",
        ),
        (rewrite(lambda t: t.update({f"{STEM}.o_proj.lora_A.weight": torch.ones(4)})), "two sides"),
        (
            rewrite(lambda t: t.update({f"{STEM}.o_proj.lora_B.weight": torch.ones(64, 4, 1)})),
            "two sides",
        ),
        (
            rewrite(
                lambda t: t.update(
                    {
                        f"{STEM}.o_proj.lora_A.weight": torch.ones(0, 64),
                        f"{STEM}.o_proj.lora_B.weight": torch.ones(64, 0),
                    }
                )
            ),
            "two sides",
        ),
        (recast(f"{STEM}.o_proj.lora_A.weight", torch.float8_e4m3fn), "dtype float8_e4m3fn"),
        (recast(f"{STEM}.o_proj.lora_A.weight", torch.complex64), "dtype complex64"),
        (recast(f"{STEM}.rotation_gate.theta", torch.int32), "dtype int32"),
        (
            rewrite(
                lambda t: t.update(
                    {STEM.removeprefix("base_model.model.") + TAIL: t[STEM + TAIL].clone()}
                )
            ),
            "tensor twice",
        ),
        (without("peft_type"), "peft_type = None"),
        (without("lora_alpha"), "lora_alpha: Field required"),
        (reconfigure(lora_alpha=None), "lora_alpha: Input should be a valid number"),
        (reconfigure(lora_alpha="x"), "lora_alpha: Input should be a valid number"),
        (reconfigure(alpha_pattern=["o_proj"]), "alpha_pattern: Input"),
        (reconfigure(alpha_pattern={"(": 4}), "does not give its scale"),
        (reconfigure(alpha_pattern={"o_proj": "4"}), "alpha_pattern.o_proj: Input"),
        (reconfigure(lora_bias=True), "lora_bias"),
        (reconfigure(use_qalora=True), "use_qalora"),
        (write("adapter_config.json", "[]"), "no JSON object"),
        (write("adapter_config.json", "[" * 100_000), "JSON"),
        (write("training.json", "[" * 100_000), "JSON"),
        (write("training.json", "{}"), "record of its training"),
        (as_folder("adapter_config.json"), "JSON"),
        (as_folder("adapter_model.safetensors"), "damaged"),
        (as_folder("gates.safetensors"), "damaged"),
        (reconfigure(use_dora=True), "use_dora"),
        (reconfigure(peft_type="IA3"), "peft_type"),
        (reconfigure(init_lora_weights="pissa"), "init_lora_weights"),
        (lambda adapter: (adapter / "adapter_config.json").write_text("{"), "JSON"),
        (lambda adapter: (adapter / "adapter_config.json").unlink(), "no adapter_config"),
        (lambda adapter: (adapter / "adapter_model.safetensors").unlink(), "no weights"),
        (
            lambda adapter: (adapter / "adapter_model.safetensors").write_bytes(b"short"),
            "damaged",
        ),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused_and_nothing_is_written(
    gated: Path, sound_adapter: Path, tmp_path: Path, spoil: Callable[[Path], object], what: str
) -> None:
    shutil.copytree(sound_adapter, tmp_path / "adapter")
    spoil(tmp_path / "adapter")
    with pytest.raises((ModelError, InputMissing), match=what) as refused:
        fold_checkpoint(gated, tmp_path / "folded", adapter=tmp_path / "adapter")
    assert refused.value.where
    assert refused.value.hint
    assert not list(tmp_path.glob("folded*"))


@pytest.mark.parametrize("parametrisation", ["exp", "cayley"])
def test_a_large_rotation_that_can_be_computed_is_folded(
    tiny: Path, tmp_path: Path, parametrisation: str
) -> None:
    """‖A‖ = 100, the size up to which the bound on the orthogonality error is stated."""
    settings = ModelSettings.model_validate({"gate": {"parametrisation": parametrisation}})
    integrate(tiny, tmp_path / "gated", settings)
    spoil_gates(lambda theta: theta + 100 / math.sqrt(2 * 28))(tmp_path / "gated")
    report = fold_checkpoint(tmp_path / "gated", tmp_path / "folded")
    assert 0 < report.max_orthogonality_error < 1e-5


def test_a_stock_model_has_nothing_to_fold(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no gated model"):
        fold_checkpoint(tiny, tmp_path / "folded")


def test_a_folder_that_is_no_older_fold_is_left_alone(gated: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(UsageError, match="no older result"):
        fold_checkpoint(gated, tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").read_text() == "dear diary"


def spoil_gates(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "model-gates.safetensors"
        save_file({name: change(value) for name, value in load_file(path).items()}, path)
        (folder / "integration.json").unlink()  # as transformers saves it: no hash on record

    return spoil


def respell(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (respell(num_hidden_layers=10**9, gate_layers=None), "lacks layers"),
        (respell(hidden_size=-8), "positive integer"),
        (respell(gate_layers=[]), "gate_layers"),
        (respell(gate_layers="0-3"), "gate_layers"),
        (respell(gate_layers=[0]), "not in the configuration"),
        (respell(gate_parametrisation=[1]), "parametrised"),
        (respell(rope_parameters=5), "configuration"),
        (spoil_gates(lambda theta: theta * float("nan")), "holds NaN"),
        (spoil_gates(lambda theta: theta[:, :27].contiguous()), "in place of"),
        (spoil_gates(lambda theta: theta.int()), "in place of"),
        (spoil_gates(lambda theta: theta + 1e3), "gives no rotation"),
        (respell(gate_blocks=[0.0, 1, 2, 3, 4, 5, 6, 7]), "gate_blocks"),
        (write("integration.json", "[" * 100_000), "JSON"),
        (write("integration.json", '{"shards": {}}'), "hash of each shard"),
        (write("integration.json", '{"shards": {"model-gates.safetensors": 5}}'), "hash of each"),
        (as_folder("integration.json"), "JSON"),
    ],
)
def test_a_checkpoint_that_cannot_be_folded_is_refused_and_nothing_is_written(
    gated: Path, tmp_path: Path, spoil: Callable[[Path], object], what: str
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(gated, checkpoint)
    spoil(checkpoint)
    with pytest.raises(ModelError, match=what) as refused:
        fold_checkpoint(checkpoint, tmp_path / "out")
    assert refused.value.where
    assert refused.value.hint
    assert not list(tmp_path.glob("out*"))
