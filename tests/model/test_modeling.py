from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, Phi3Config, Phi3ForCausalLM

from so8t_core.model import register
from so8t_core.model.gate_checks import gates_of, randomise
from so8t_core.model.loading import load_base, load_base_with_gates, load_gated, quiet_transformers
from so8t_core.model.modeling_phi3_so8t import (
    SO8TPhi3Config,
    SO8TPhi3ForCausalLM,
    SO8TPhi3Model,
    SO8TRotationGate,
)

register()


def ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(5, 500, shape, generator=torch.Generator().manual_seed(seed))


def with_gates(base: Path, dtype: torch.dtype = torch.float32, **gates: Any) -> SO8TPhi3ForCausalLM:
    plain = json.loads((base / "config.json").read_text())
    plain.pop("model_type")
    plain.pop("architectures")
    return load_base_with_gates(base, SO8TPhi3Config(**plain, **gates), dtype=dtype)


def rotated(folder: Path, **options: Any) -> SO8TPhi3ForCausalLM:
    model = load_gated(folder, dtype=torch.float32, **options)
    randomise(model, spread=0.3, seed=1)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("parametrisation", ["exp", "cayley", "free"])
def test_at_the_identity_logits_equal_the_base_to_the_bit(
    tiny: Path, dtype: torch.dtype, parametrisation: str
) -> None:
    base = load_base(tiny, dtype=dtype)
    model = with_gates(tiny, dtype, gate_parametrisation=parametrisation)
    with torch.inference_mode():
        assert (base(ids(2, 33)).logits - model(ids(2, 33)).logits).abs().max() == 0.0


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_both_kinds_of_attention_give_the_same_rotated_model(gated: Path, attention: str) -> None:
    model = rotated(gated, attn_implementation=attention)
    assert model.config._attn_implementation == attention
    with torch.inference_mode():
        expected = rotated(gated, attn_implementation="eager")(ids(2, 20)).logits
        assert torch.allclose(model(ids(2, 20)).logits, expected, rtol=0, atol=1e-4)


def test_a_random_rotation_changes_the_logits(gated: Path) -> None:
    with torch.inference_mode():
        still = load_gated(gated, dtype=torch.float32)(ids(1, 20)).logits
        turned = rotated(gated)(ids(1, 20)).logits
    assert (still - turned).abs().max() > 0.1


def test_gates_stay_float32_in_a_16_bit_model(gated: Path) -> None:
    model = load_gated(gated, dtype=torch.bfloat16)
    dtypes = {name: value.dtype for name, value in model.named_parameters()}
    thetas = [name for name in dtypes if name.endswith("theta")]
    assert thetas == [f"model.layers.{n}.self_attn.rotation_gate.theta" for n in range(4)]
    assert {dtypes[name] for name in thetas} == {torch.float32}
    assert {dtypes[name] for name in dtypes if name not in thetas} == {torch.bfloat16}


def test_only_the_chosen_layers_have_gates(tiny: Path) -> None:
    model = with_gates(tiny, gate_layers=[1, 3])
    names = [name for name, _ in model.named_parameters() if "theta" in name]
    assert names == [f"model.layers.{n}.self_attn.rotation_gate.theta" for n in (1, 3)]


def test_only_the_chosen_blocks_turn(tiny: Path) -> None:
    model = with_gates(tiny, gate_layers=[1], gate_blocks=[2, 5])
    (gate,) = gates_of(model)
    assert gate.theta.shape == (2, 28)
    randomise(model, spread=0.3, seed=1)
    hidden = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    turned = gate(hidden)
    moved = (turned != hidden).view(3, 8, 8).any(-1).any(0)
    assert moved.tolist() == [number in (2, 5) for number in range(8)]
    assert torch.allclose(turned.norm(dim=-1), hidden.norm(dim=-1))


def gate_of(*blocks: int) -> SO8TRotationGate:
    gate = SO8TRotationGate(64, "exp", list(blocks))
    torch.nn.init.normal_(gate.theta, std=0.3, generator=torch.Generator().manual_seed(0))
    return gate


def test_a_gate_of_chosen_blocks_can_be_trained_after_it_was_used() -> None:
    gate = gate_of(1, 6, 7)
    with torch.inference_mode():
        gate(torch.ones(2, 64))
    gate(torch.ones(2, 64)).square().sum().backward()
    assert gate.theta.grad is not None


@pytest.mark.long
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # by torch itself
def test_a_compiled_gate_of_chosen_blocks_turns_as_it_does_uncompiled() -> None:
    """Compiled in inference mode, and trained after: both once went wrong."""
    gate = gate_of(1, 6, 7)
    compiled = torch.compile(gate.spread, fullgraph=True)
    with torch.inference_mode():
        found = compiled(gate.chosen_rotations())
    expected = gate.rotation()
    assert torch.equal(found, expected)
    expected.sum().backward()


def test_a_gate_of_no_whole_number_of_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="60 is not a multiple of 8"):
        SO8TRotationGate(60)


@pytest.mark.parametrize("blocks", [[], [3, 2], [1, 1], [8], [-1]])
def test_blocks_that_are_not_there_are_refused(blocks: list[int]) -> None:
    with pytest.raises(Exception, match="gate_blocks"):
        SO8TPhi3Config(hidden_size=64, num_attention_heads=4, gate_blocks=blocks)


@pytest.mark.parametrize(
    "wrong", [{"hidden_size": 60}, {"gate_layers": [4]}, {"gate_parametrisation": "euler"}]
)
def test_a_configuration_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    settings = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, **wrong}
    with pytest.raises(Exception, match=next(iter(wrong))):
        SO8TPhi3Config(**settings)


def test_cached_generation_equals_generation_without_cache(gated: Path) -> None:
    model = rotated(gated)
    prompt = ids(2, 9)
    options = {"do_sample": False, "max_new_tokens": 12, "min_new_tokens": 12}
    mask = torch.ones_like(prompt)
    cached = model.generate(prompt, attention_mask=mask, use_cache=True, **options)
    plain = model.generate(prompt, attention_mask=mask, use_cache=False, **options)
    assert cached.tolist() == plain.tolist()


def test_padding_on_the_left_does_not_change_what_is_generated(gated: Path) -> None:
    model = rotated(gated)
    prompt = ids(1, 9)
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), prompt], dim=1)
    mask = torch.cat([torch.zeros(1, 4, dtype=torch.long), torch.ones_like(prompt)], dim=1)
    options = {"do_sample": False, "max_new_tokens": 6, "min_new_tokens": 6}
    alone = model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)
    assert model.generate(padded, attention_mask=mask, **options)[0, 4:].tolist() == (
        alone[0].tolist()
    )


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_sequences_see_only_themselves(gated: Path, attention: str) -> None:
    model = rotated(gated, attn_implementation=attention)
    first, second = ids(1, 11, seed=1), ids(1, 7, seed=2)
    positions = torch.cat([torch.arange(11), torch.arange(7)])[None]
    with torch.inference_mode():
        packed = model(
            torch.cat([first, second], dim=1), position_ids=positions, use_cache=False
        ).logits
        apart = torch.cat([model(first).logits, model(second).logits], dim=1)
    assert torch.allclose(packed, apart, rtol=0, atol=1e-4)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_gives_the_same_gradients(gated: Path, reentrant: bool) -> None:
    def gradients(*, checkpointing: bool) -> list[Tensor]:
        model = rotated(gated).train()
        if checkpointing:
            # the newer name of the same; transformers below 5.23 has the older one alone
            older = "gradient_checkpointing_enable"
            enable = getattr(model, "activation_checkpointing_enable", None)
            (enable or getattr(model, older))({"use_reentrant": reentrant})
            model.enable_input_require_grads()
        model(ids(2, 16), labels=ids(2, 16)).loss.backward()
        return [gate.theta.grad for gate in gates_of(model) if gate.theta.grad is not None]

    plain, checkpointed = gradients(checkpointing=False), gradients(checkpointing=True)
    assert len(plain) == len(checkpointed) == 4
    for one, other in zip(plain, checkpointed, strict=True):
        assert one.abs().max() > 0
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("tokens", [12, 40])
def test_longrope_works_below_and_beyond_the_original_length(tmp_path: Path, tokens: int) -> None:
    half = 64 // 4 // 2
    config = Phi3Config(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        original_max_position_embeddings=24,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0] * half,
            "long_factor": [4.0] * half,
        },
        pad_token_id=0,
        initializer_range=0.1,
    )
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(0)
        Phi3ForCausalLM(config).save_pretrained(tmp_path)
    base = load_base(tmp_path, dtype=torch.float32)
    model = with_gates(tmp_path)
    with torch.inference_mode():
        assert (base(ids(1, tokens)).logits - model(ids(1, tokens)).logits).abs().max() == 0.0


@pytest.mark.parametrize("shard_size", ["50GB", "200KB"])
def test_saving_and_loading_changes_nothing(gated: Path, tmp_path: Path, shard_size: str) -> None:
    model = rotated(gated)
    with quiet_transformers():
        model.save_pretrained(tmp_path, max_shard_size=shard_size)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard_size == "200KB")
    loaded = load_gated(tmp_path, dtype=torch.float32)
    with torch.inference_mode():
        assert torch.equal(loaded(ids(2, 20)).logits, model(ids(2, 20)).logits)


def test_layers_are_never_split_between_devices_and_those_on_disk_compute_the_same(
    gated: Path, tmp_path: Path
) -> None:
    model = rotated(gated)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "turned")
        spread = SO8TPhi3ForCausalLM.from_pretrained(
            tmp_path / "turned",
            device_map="auto",
            max_memory={"cpu": 450_000},
            offload_folder=tmp_path / "offloaded",
        )
    places = spread.hf_device_map
    assert places["model.layers.0"] == "cpu"
    assert places["model.layers.3"] == "disk"
    assert {name for name in places if "layers" in name} == {f"model.layers.{n}" for n in range(4)}
    with torch.inference_mode():
        assert torch.equal(spread(ids(2, 20)).logits, model(ids(2, 20)).logits)


def test_attention_weights_and_hidden_states_can_be_had(gated: Path) -> None:
    model = rotated(gated, attn_implementation="eager")
    with torch.no_grad():
        given = model(ids(2, 9), output_attentions=True, output_hidden_states=True)
        last = model.lm_head(given.hidden_states[-1])
    assert [tuple(one.shape) for one in given.attentions] == [(2, 4, 9, 9)] * 4
    for one in given.attentions:
        assert torch.allclose(one.sum(-1), torch.ones(2, 4, 9), rtol=0, atol=1e-5)
    assert [tuple(one.shape) for one in given.hidden_states] == [(2, 9, 64)] * 5
    assert torch.allclose(last, given.logits, rtol=0, atol=1e-5)


def _half(rank: int, checkpoint: Path, store: Path) -> None:
    """One of two processes that share the matrices of a model, on a CPU."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    with quiet_transformers(), torch.inference_mode():
        model = SO8TPhi3ForCausalLM.from_pretrained(checkpoint, tp_plan="auto")
        held: Any = model.model.layers[0].self_attn.o_proj.weight
        shape = (held.to_local() if isinstance(held, DTensor) else held).shape
        torch.save((tuple(shape), model(ids(1, 20)).logits), store.with_name(f"half{rank}.pt"))
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:Passing .tp_plan. directly:FutureWarning")
def test_two_processes_that_share_the_matrices_give_the_same_logits(
    gated: Path, tmp_path: Path
) -> None:
    """The plan of tensor parallelism is Phi-3's: o_proj's parts are summed before the gate."""
    model = rotated(gated)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "turned")
    children = []
    for rank in range(2):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _half(rank, tmp_path / "turned", tmp_path / "store")
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    with torch.inference_mode():
        expected = model(ids(1, 20)).logits
    for rank in range(2):
        shape, logits = torch.load(tmp_path / f"half{rank}.pt")
        assert shape == (64, 32)
        assert torch.allclose(logits, expected, rtol=0, atol=1e-4)


def test_registering_twice_is_the_same_as_once(gated: Path) -> None:
    register()
    register()
    with quiet_transformers():
        assert isinstance(AutoConfig.from_pretrained(gated), SO8TPhi3Config)
        assert isinstance(AutoModel.from_pretrained(gated), SO8TPhi3Model)
        assert isinstance(AutoModelForCausalLM.from_pretrained(gated), SO8TPhi3ForCausalLM)


def test_a_checkpoint_loads_where_our_package_is_not_installed(gated: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(gated, moved)
    model = rotated(moved)
    with quiet_transformers():
        model.save_pretrained(moved)
    (moved / "model.safetensors.index.json").unlink()
    program = f"""
import sys
sys.modules["so8t_core"] = None
import torch
from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained({str(moved)!r}, trust_remote_code=True)
torch.save(model(torch.arange(5, 25)[None]).logits, {str(tmp_path / "logits.pt")!r})
print(type(model).__name__, type(model).__module__.split(".")[0])
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.stdout.split() == ["SO8TPhi3ForCausalLM", "transformers_modules"]
    with torch.inference_mode():
        expected = model(torch.arange(5, 25)[None]).logits
    assert torch.equal(torch.load(tmp_path / "logits.pt"), expected)


@pytest.mark.long
def test_the_rotated_model_compiles_without_a_break(gated: Path) -> None:
    model = rotated(gated)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with torch.no_grad():
        expected = model(ids(1, 8), use_cache=False).logits
        assert torch.equal(compiled(ids(1, 8), use_cache=False).logits, expected)
