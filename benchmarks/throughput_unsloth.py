"""Unsloth among the contenders of `train_throughput.py`: a process of its own that takes turns.

Unsloth has hand-written kernels for models with separate q, k, v, gate and up projections; who
trains Phi-3.5-mini with it gets the weights in Llama's form. So random weights of a Llama of
Phi-3.5-mini's shape are written (as many parameters, the same products; the rotary angles of the
short factor), and `unsloth_peer.py` loads them in 4 bits: once with unsloth's checkpointing, once
with none. Its packages lie in a folder of their own, first on the process's path. What a process
prints is kept beside the result. If one fails, the others go on and the result says why.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from throughput_round import GPU
from throughput_stock import Contender, new_base, shape
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

PEER = Path(__file__).with_name("unsloth_peer.py")
LAST_LINES = 12
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "UNSLOTH_DISABLE_STATISTICS": "1",
    "PYTHONUNBUFFERED": "1",
}
SHARED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "pad_token_id",
)


class PeerFailed(Exception):
    """A contender's process ended, said nothing in time or answered with something else."""


@dataclass
class InChild(Contender):
    """A contender in a process of its own, which answers each line with a line."""

    process: subprocess.Popen[str] = field(kw_only=True)
    log: Path = field(kw_only=True)
    timeout_s: float = field(kw_only=True)
    about: dict[str, Any] = field(default_factory=dict)

    def wait_until_ready(self) -> None:
        """Wait until it has loaded and warmed up; raises PeerFailed."""
        self.about = self._answer()

    def round(self, steps: int, tokens: int) -> None:
        """Train some steps; raises PeerFailed."""
        gc.collect()
        if GPU:
            torch.cuda.empty_cache()  # what is free here is of use there
        assert self.process.stdin is not None
        try:
            print(json.dumps({"steps": steps}), file=self.process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._failure("ended") from error
        answer = self._answer()
        if not math.isfinite(answer["loss"]):
            raise self._failure(f"a loss of {answer['loss']}")
        self.peak_bytes = max(self.peak_bytes, answer["peak_bytes"])
        self.tokens_per_s.append(tokens / answer["step_s"])

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], self.timeout_s)
        if not ready:
            raise self._failure(f"no answer in {self.timeout_s:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            raise self._failure(f"exit status {self.process.wait()}")
        try:
            answer: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError as error:
            raise self._failure(f"not an answer: {line!r}") from error
        return answer

    def _failure(self, what: str) -> PeerFailed:
        self.end()  # or it might go on in somebody else's turn
        last = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return PeerFailed("\n".join([what, *last]))


def unsloth(options: argparse.Namespace, data: Tensor, folder: Path) -> dict[str, InChild]:
    """Unsloth in 4 bits with its checkpointing and without, both started, not yet ready."""
    write_checkpoint(options, data, folder)
    contenders, sizes = {}, [str(options.rows), str(options.length)]
    for name, checkpointing in (("unsloth_nf4", "unsloth"), ("unsloth_nf4_whole", "none")):
        log = options.out.with_name(f"{options.out.stem}.{name}.log")
        paths = [
            str(options.unsloth),
            *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
        ]
        searched = os.pathsep.join(map(os.path.abspath, paths))
        surroundings = os.environ | OFFLINE | {"PYTHONPATH": searched}
        surroundings["UNSLOTH_COMPILE_LOCATION"] = str(folder / f"compiled_{name}")
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, PEER, folder, checkpointing, *sizes],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=folder,
                env=surroundings,
            )
        contenders[name] = InChild(name, process=process, log=log, timeout_s=options.peer_timeout_s)
    return contenders


def write_checkpoint(options: argparse.Namespace, data: Tensor, folder: Path) -> None:
    """Random weights of Phi-3.5-mini's shape in Llama's form, a tokenizer, and the rows."""
    from so8t_core.model.tiny import build_tiny

    build_tiny(folder, seed=7)  # its tokenizer stays: nothing is tokenised, but the loader asks
    phi = shape(options)
    config = LlamaConfig(
        **{name: phi[name] for name in SHARED},
        max_position_embeddings=max(4096, options.length),
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rms_norm_eps=1e-5,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    new_base(LlamaForCausalLM, config).to(torch.bfloat16).save_pretrained(folder)
    save_file({"ids": data.contiguous()}, folder / "rows.safetensors")
