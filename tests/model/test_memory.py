"""Integration and fold hold one tensor at a time, whatever the size of the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from so8t_core.model.weight_writer import write_index, write_shard
from so8t_core.model.weights import TensorEntry

pytestmark = pytest.mark.long

WIDTH, INNER, VOCABULARY = 3072, 8192, 32064
DEPTH = 32
CONFIG = {
    "architectures": ["Phi3ForCausalLM"],
    "model_type": "phi3",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "dtype": "bfloat16",
}


def shapes(layer: int) -> dict[str, tuple[int, ...]]:
    stem = f"model.layers.{layer}"
    return {
        f"{stem}.self_attn.qkv_proj.weight": (3 * WIDTH, WIDTH),
        f"{stem}.self_attn.o_proj.weight": (WIDTH, WIDTH),
        f"{stem}.mlp.gate_up_proj.weight": (2 * INNER, WIDTH),
        f"{stem}.mlp.down_proj.weight": (WIDTH, INNER),
        f"{stem}.input_layernorm.weight": (WIDTH,),
        f"{stem}.post_attention_layernorm.weight": (WIDTH,),
    }


def write_base(folder: Path, layers: int) -> int:
    """Phi-3.5-mini of that depth in bfloat16, a shard for every two layers; its largest shard."""
    folder.mkdir()
    shards = [{**shapes(layer), **shapes(layer + 1)} for layer in range(0, layers, 2)]
    shards[0]["model.embed_tokens.weight"] = (VOCABULARY, WIDTH)
    shards[-1] |= {"lm_head.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
    every = []
    for number, named in enumerate(shards):
        file = f"part-{number}.safetensors"
        entries = [TensorEntry(name, shape, "BF16", file) for name, shape in named.items()]
        write_shard(
            folder / file,
            entries,
            (torch.full(entry.shape, 0.01, dtype=torch.bfloat16) for entry in entries),
        )
        every += entries
    write_index(folder, every)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": layers}))
    return max(path.stat().st_size for path in folder.glob("part-*"))


PROGRAM = """
import resource, sys, tempfile
from pathlib import Path
from so8t_core.contract.settings.model import ModelSettings
from so8t_core.model.fold import fold_checkpoint
from so8t_core.model.integrate import integrate
base, gated, folded, dtype = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
integrate(base, gated, ModelSettings(dtype=dtype))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
fold_checkpoint(gated, folded)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.parametrize(
    ("layers", "dtype"), [(DEPTH // 8, "auto"), (DEPTH // 8, "float32"), (DEPTH, "auto")]
)
def test_integrating_and_folding_need_one_shard_and_a_gigabyte(
    tmp_path: Path, layers: int, dtype: str
) -> None:
    """Mapped pages of the shard being read count too: the largest shard plus 1 GB is the bound."""
    shard = write_base(tmp_path / "base", layers)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROGRAM,
            *(str(tmp_path / name) for name in ("base", "gated", "folded")),
            dtype,
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    integrated, folded = map(int, done.stdout.split())
    written = max(path.stat().st_size for path in (tmp_path / "gated").glob("*.safetensors"))
    print(f"{layers} layers, {dtype}: shard {shard / 1e9:.2f} GB, integrated {integrated / 1e9:.2f}, "
          f"folded {folded / 1e9:.2f} GB of memory")  # fmt: skip
    assert integrated <= shard + 1e9
    assert folded <= written + 1e9
