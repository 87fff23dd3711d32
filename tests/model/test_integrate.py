from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from so8t_core.contract.errors import InputMissing, ModelError, UsageError
from so8t_core.contract.files import PARTIAL_SUFFIX
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.compare import compare_logits
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.gate_checks import randomise
from so8t_core.model.integrate import MODELLING_FILES, integrate
from so8t_core.model.layers import select
from so8t_core.model.loading import load_base, load_gated, load_tokenizer, quiet_transformers
from so8t_core.model.modeling_phi3_so8t import SO8TPhi3ForCausalLM
from so8t_core.model.weights import ModelFolder
from so8t_core.phases.standalone import OpenGate, RecordingEmitter

PLAIN = ModelSettings()


def gates(**settings: Any) -> ModelSettings:
    return ModelSettings.model_validate({"gate": settings})


def test_every_tensor_is_transferred_initialised_or_tied(tiny: Path, tmp_path: Path) -> None:
    report = integrate(tiny, tmp_path / "out", PLAIN)
    before, after = ModelFolder.read(tiny), ModelFolder.read(tmp_path / "out")
    assert report.transferred_tensors == len(before.tensors)
    assert report.initialised_tensors == len(after.tensors) - len(before.tensors) == 4
    assert report.gate_parameters == 4 * 8 * 28
    assert report.transferred_parameters == sum(e.elements for e in before.tensors.values())
    for name in before.tensors:
        assert torch.equal(before.read_tensor(name), after.read_tensor(name))
    written = json.loads((tmp_path / "out" / "integration.json").read_text())
    assert written["integrated_layers"] == [0, 1, 2, 3]
    assert written["digest"] == report.digest


def test_logits_of_the_written_checkpoint_equal_the_base_to_the_bit(
    tiny: Path, gated: Path
) -> None:
    batch = torch.arange(5, 45)[None]
    with torch.inference_mode():
        base = load_base(tiny, dtype=torch.float32)(batch).logits
        ours = load_gated(gated, dtype=torch.float32)(batch).logits
    assert (base - ours).abs().max() == 0.0


def test_tied_and_sharded_bases_are_accounted_for(tiny: Path, tmp_path: Path) -> None:
    model = load_base(tiny, dtype=torch.bfloat16)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    with quiet_transformers():
        model.save_pretrained(tmp_path / "base", max_shard_size="100KB")
    report = integrate(tmp_path / "base", tmp_path / "out", PLAIN)
    assert len(ModelFolder.read(tmp_path / "base").shards) > 2
    assert report.tied_tensors == ("lm_head.weight",)
    assert report.weights_dtype == "BF16"
    batch = torch.arange(5, 45)[None]
    with torch.inference_mode():
        base = load_base(tmp_path / "base", dtype=torch.bfloat16)(batch).logits
        ours = load_gated(tmp_path / "out", dtype=torch.bfloat16)(batch).logits
    assert (base - ours).abs().max() == 0.0


def test_the_asked_dtype_is_written_and_gates_stay_float32(tiny: Path, tmp_path: Path) -> None:
    report = integrate(tiny, tmp_path / "out", ModelSettings(dtype="bfloat16"))
    assert (report.base_dtypes, report.weights_dtype) == (("F32",), "BF16")
    folder = ModelFolder.read(tmp_path / "out")
    assert folder.tensors["model.layers.0.self_attn.rotation_gate.theta"].dtype == "F32"
    assert folder.config["dtype"] == "bfloat16"
    load_gated(tmp_path / "out", dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("spec", "expected"), [("all", (0, 1, 2, 3)), ("1-2", (1, 2)), ("3, 0-1", (0, 1, 3))]
)
def test_gates_are_where_the_settings_say(
    tiny: Path, tmp_path: Path, spec: str, expected: tuple[int, ...]
) -> None:
    report = integrate(tiny, tmp_path / "out", gates(layers=spec))
    assert report.integrated_layers == expected
    assert load_gated(tmp_path / "out", dtype=torch.float32).config.gate_layers == list(expected)


def test_the_chosen_blocks_survive_integration_training_and_fold(
    tiny: Path, tmp_path: Path
) -> None:
    report = integrate(tiny, tmp_path / "out", gates(layers="0-2", blocks="1,6-7"))
    assert (report.integrated_blocks_per_layer, report.blocks_per_layer) == (3, 8)
    assert report.gate_parameters == 3 * 3 * 28
    model = load_gated(tmp_path / "out", dtype=torch.float32)
    assert model.config.gate_blocks == [1, 6, 7]
    randomise(model, spread=0.3, seed=1)
    with quiet_transformers():
        model.save_pretrained(tmp_path / "turned")
    fold_checkpoint(tmp_path / "turned", tmp_path / "folded")
    folded = load_base(tmp_path / "folded", dtype=torch.float32)
    assert compare_logits(model, folded, [list(range(5, 25))]).relative < 1e-5
    assert "gate_blocks" not in folded.config.to_dict()


def test_what_a_base_says_of_its_outputs_does_not_reach_the_checkpoint(
    tiny: Path, tmp_path: Path
) -> None:
    """With these, transformers' own loading gives a model that cannot compute, or not be saved."""
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    change_config(return_dict=False, output_attentions=True, output_hidden_states=True)(base)
    integrate(base, tmp_path / "out", PLAIN)
    with quiet_transformers():
        model = SO8TPhi3ForCausalLM.from_pretrained(tmp_path / "out")
    given = model(torch.arange(5, 9)[None])
    assert given.logits.shape == (1, 4, 512)
    assert given.attentions is None


def test_gates_that_a_bases_configuration_still_names_are_not_believed(
    tiny: Path, tmp_path: Path
) -> None:
    """They would gate one block of eight where the settings say all."""
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    change_config(gate_blocks=[0], gate_layers=[1], gate_parametrisation="free")(base)
    report = integrate(base, tmp_path / "out", PLAIN)
    assert (report.integrated_layers, report.parametrisation) == ((0, 1, 2, 3), "exp")
    assert report.integrated_blocks_per_layer == 8


@pytest.mark.parametrize(
    "spec",
    ["0 3", "1 2-3", "4-1 1", "a l l", "-1", "1,", "９", pytest.param("9" * 5000, id="long")],
)
def test_layers_that_can_be_misread_are_refused(spec: str) -> None:
    with pytest.raises(ValidationError, match="must be `all` or a list"):
        gates(layers=spec)


def test_a_single_layer_may_be_a_number() -> None:
    assert gates(layers=2).gate.layers == "2"
    assert gates(blocks=" 0 - 1 , 3 ").gate.blocks == "0-1,3"


def test_blocks_that_the_width_does_not_have_are_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="blocks 8 are not in this model, which has 8"):
        integrate(tiny, tmp_path / "out", gates(blocks="8"))
    assert not (tmp_path / "out").exists()


def flip_a_bit(path: Path) -> None:
    """Change the last weight by one bit; the file stays a sound safetensors file."""
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.unlink()  # a file under the same inode and times would be known by its old hash
    path.write_bytes(content)


def test_a_shard_of_the_hub_is_compared_with_the_hash_that_is_its_name(
    tiny: Path, tmp_path: Path
) -> None:
    base, blobs = tmp_path / "base", tmp_path / "blobs"
    shutil.copytree(tiny, base)
    blobs.mkdir()
    shard = base / "model.safetensors"
    blob = blobs / hashlib.sha256(shard.read_bytes()).hexdigest()
    shard.rename(blob)
    shard.symlink_to(blob)
    assert integrate(base, tmp_path / "out", PLAIN).hashes_checked == 1
    flip_a_bit(blob)
    with pytest.raises(ModelError, match="whose hash is on record") as caught:
        integrate(base, tmp_path / "again", PLAIN)
    assert caught.value.where == str(shard)
    assert not (tmp_path / "again").exists()


def test_a_shard_downloaded_into_a_folder_is_compared_with_what_the_hub_said(
    tiny: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    shard = base / "model.safetensors"
    note = base / ".cache" / "huggingface" / "download" / "model.safetensors.metadata"
    note.parent.mkdir(parents=True)
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    note.write_text(f"{'0' * 40}\n{digest}\n1760000000.0\n")
    assert integrate(base, tmp_path / "out", PLAIN).hashes_checked == 1
    flip_a_bit(shard)
    with pytest.raises(ModelError, match="whose hash is on record"):
        integrate(base, tmp_path / "again", PLAIN)
    note.write_text(f"{'0' * 40}\n{'0' * 40}\n1760000000.0\n")  # that of a small file is no SHA-256
    assert integrate(base, tmp_path / "again", PLAIN).hashes_checked == 0


def test_a_changed_shard_of_a_gated_checkpoint_is_not_folded(tiny: Path, tmp_path: Path) -> None:
    report = integrate(tiny, tmp_path / "out", PLAIN)
    assert report.hashes_checked == 0
    shard = sorted(report.shards)[0]
    flip_a_bit(tmp_path / "out" / shard)
    with pytest.raises(ModelError, match=f"{shard} is not the one whose hash"):
        fold_checkpoint(tmp_path / "out", tmp_path / "folded")
    assert not (tmp_path / "folded").exists()


@pytest.mark.parametrize("spec", ["4", "2-9", "3-1"])
def test_layers_that_are_not_there_are_refused(spec: str) -> None:
    with pytest.raises(ModelError, match="which has 4"):
        select(spec, 4, "layers")


def test_a_base_without_tokenizer_is_integrated_and_that_is_said(
    tiny: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny / name, bare)
    emit = RecordingEmitter()
    report = integrate(bare, tmp_path / "out", PLAIN, emit=emit)
    assert not report.has_tokenizer
    assert any("no tokenizer" in event.get("message", "") for _, event in emit.events)


def test_tokenizer_template_and_generation_settings_travel_along(tiny: Path, gated: Path) -> None:
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "generation_config.json",
    ):
        assert (gated / name).read_bytes() == (tiny / name).read_bytes()


def test_the_code_of_a_tokenizer_travels_along_and_no_other_code(
    tiny: Path, tmp_path: Path
) -> None:
    base, out, folded = tmp_path / "base", tmp_path / "out", tmp_path / "folded"
    shutil.copytree(tiny, base)
    (base / "tokenization_x.py").write_text("from .words_x import Words as OwnTokenizer\n")
    (base / "words_x.py").write_text(
        "from transformers import PreTrainedTokenizerFast\n"
        "class Words(PreTrainedTokenizerFast):\n    pass\n"
    )
    (base / "modeling_x.py").write_text("raise SystemExit\n")
    config = base / "tokenizer_config.json"
    named = {"AutoTokenizer": [None, "tokenization_x.OwnTokenizer"], "AutoX": "../modeling_x.X"}
    named["AutoY"] = "x" * 5000 + ".Y"
    written = {**json.loads(config.read_text()), "tokenizer_class": "OwnTokenizer"}
    config.write_text(json.dumps({**written, "auto_map": named}))
    integrate(base, out, ModelSettings(trust_remote_code=True))
    fold_checkpoint(out, folded)
    code = {"tokenization_x.py", "words_x.py"}
    assert {path.name for path in out.glob("*.py")} == {*code, *MODELLING_FILES}
    assert {path.name for path in folded.glob("*.py")} == code
    for place in (out, folded):
        assert type(load_tokenizer(place, trust_remote_code=True)).__name__ == "Words"
    with pytest.raises(ModelError, match="tokenizer cannot be loaded"):
        load_tokenizer(out)


def test_the_digest_does_not_depend_on_the_place(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "moved")
    first = integrate(tiny, tmp_path / "one", PLAIN)
    second = integrate(tmp_path / "moved", tmp_path / "deep" / "two", PLAIN)
    assert first == second
    other = integrate(tiny, tmp_path / "three", gates(layers="0"))
    assert other.digest != first.digest


def change_config(**changes: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def change_weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return spoil


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def cut_to(size_bytes: int) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:size_bytes])

    return spoil


def index_of(weight_map: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model-1.safetensors")
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": weight_map}))

    return spoil


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (change_config(hidden_size=60), "not divisible by 8"),
        (change_config(model_type="llama"), "no Phi-3"),
        (change_config(model_type="phi3_so8t"), "already has gates"),
        (change_config(quantization_config={"bits": 8}), "quantised"),
        (change_config(quantization_config=[]), "quantised"),
        (change_config(quantization_config={}), "quantised"),
        (change_config(num_labels=10**7), "num_labels is '10000000'"),
        (change_config(rms_norm_eps=-1.0), "rms_norm_eps is '-1.0'; a positive number"),
        (change_config(rope_theta=0.0), "rope_theta is '0.0'"),
        (change_config(rope_parameters={"rope_theta": -1.0}), r"rope_parameters.rope_theta is"),
        (lambda folder: (folder / "generation_config.json").write_text("[]"), "generation"),
        (lambda folder: (folder / "generation_config.json").write_text("{"), "generation"),
        (change_config(num_hidden_layers=5), "lacks"),
        (change_config(num_hidden_layers=3), "does not know"),
        (change_config(intermediate_size=96), "has the shape"),
        (change_config(rms_norm_eps="tiny"), "configuration"),
        (change_weights(lambda t: t.pop(NORM)), f"lacks 1 .*{NORM}"),
        (change_weights(lambda t: t.update(stray=torch.zeros(3))), "does not know.*stray"),
        (change_weights(lambda t: t.update({NORM: torch.ones(63)})), "has the shape"),
        (change_weights(lambda t: t.update({NORM: torch.ones(64).char()})), "dtype I8"),
        (change_weights(lambda t: t[NORM].fill_(float("nan"))), "NaN"),
        (change_weights(lambda t: t[NORM].fill_(float("inf"))), "NaN or infinity"),
        (cut_short, "damaged or cut short"),
        (cut_to(0), "damaged or cut short"),
        (cut_to(5), "damaged or cut short"),
        (change_config(hidden_size=-8), "hidden_size is '-8'; a positive integer"),
        (change_config(hidden_size=0), "hidden_size is '0'"),
        (change_config(hidden_size="64"), "hidden_size is '64'"),
        (change_config(hidden_size=None), "hidden_size is missing"),
        (change_config(hidden_size=72), "has the shape|not divisible"),
        (change_config(num_attention_heads=0), "num_attention_heads is '0'"),
        (change_config(num_attention_heads=3), "not divisible by its 3 attention heads"),
        (change_config(num_key_value_heads=3), "not divisible by 3 key-value heads"),
        (change_config(num_key_value_heads=0), "num_key_value_heads is '0'"),
        (change_config(head_dim=10**12), "wider"),
        (change_config(sliding_window=0), "sliding_window is '0'"),
        (change_config(architectures=5), "architectures are '5'"),
        (change_config(architectures=[5]), "architectures are"),
        (change_config(num_hidden_layers=10**9), "names 1000000000, the weights hold 4"),
        (change_config(vocab_size=10**15), "has the shape"),
        (change_config(hidden_act="nonsense"), "configuration"),
        (change_config(rope_parameters=5), "configuration"),
        (change_config(pad_token_id=10**9), "configuration"),
        (change_config(rms_norm_eps=float("nan")), "JSON"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "JSON"),
        (index_of([]), "weight_map"),
        (index_of(None), "weight_map"),
        (index_of({}), "weight_map"),
        (index_of({NORM: 5}), "weight_map"),
        (index_of({NORM: None}), "weight_map"),
        (lambda folder: (folder / "config.json").write_text("{nonsense"), "JSON"),
        (lambda folder: (folder / "config.json").unlink(), "no model folder"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no safetensors"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused_and_nothing_is_written(
    tiny: Path, tmp_path: Path, spoil: Callable[[Path], object], what: str
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny, base)
    spoil(base)
    with pytest.raises((ModelError, InputMissing), match=what) as refused:
        integrate(base, tmp_path / "out", PLAIN)
    assert refused.value.where
    assert refused.value.hint
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("place", ["file/out", "file/deep/out", "x" * 300])
def test_an_output_that_no_folder_can_be_made_at_is_refused(
    tiny: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="cannot be made") as refused:
        integrate(tiny, tmp_path / place, PLAIN)
    assert refused.value.where == str(tmp_path / place)
    assert refused.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc here")
def test_an_output_that_is_on_no_disk_is_refused(tiny: Path) -> None:
    with pytest.raises(UsageError, match="cannot be made"):
        integrate(tiny, Path("/proc/x/y"), PLAIN)


def test_a_value_that_overflows_in_the_asked_dtype_is_refused(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "base")
    change_weights(lambda t: t[NORM].fill_(1e6))(tmp_path / "base")
    with pytest.raises(ModelError, match="overflows in float16"):
        integrate(tmp_path / "base", tmp_path / "out", ModelSettings(dtype="float16"))


class Interrupted(Exception):
    """Stands for whatever ends a phase between two tensors."""


class GateThatBreaks(OpenGate):
    """Lets a few points pass, then ends the work."""

    left = 5

    def point(self, save: Callable[[], None] | None = None) -> None:
        self.left -= 1
        if not self.left:
            raise Interrupted


def test_an_interrupted_integration_leaves_nothing_and_the_next_one_is_whole(
    tiny: Path, tmp_path: Path
) -> None:
    expected = integrate(tiny, tmp_path / "whole", PLAIN)
    with pytest.raises(Interrupted):
        integrate(tiny, tmp_path / "out", PLAIN, pause=GateThatBreaks())
    assert not list(tmp_path.glob("out*"))
    # what a kill leaves: a half-filled folder under the temporary name
    left = tmp_path / f"out{PARTIAL_SUFFIX}"
    (left / ".so8t-writing").mkdir(parents=True)
    (left / "model-00001-of-00001.safetensors").write_bytes(b"half")
    assert integrate(tiny, tmp_path / "out", PLAIN) == expected
    assert integrate(tiny, tmp_path / "out", PLAIN) == expected


def test_the_output_never_replaces_what_is_not_ours(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(UsageError, match="no older result"):
        integrate(tiny, tmp_path / "mine", PLAIN)
    with pytest.raises(UsageError, match="another than the model's"):
        integrate(tiny, tiny, PLAIN)
    with pytest.raises(UsageError, match="another than the model's"):
        integrate(tiny, tiny / "inside", PLAIN)
