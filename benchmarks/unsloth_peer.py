"""Unsloth as a contender of `train_throughput.py`: a process that trains a round when it is told.

    python benchmarks/unsloth_peer.py FOLDER unsloth|none ROWS LENGTH

Started by `throughput_unsloth.py`, never by hand. Unsloth replaces parts of transformers, PEFT, TRL
and torch when it is imported, so it gets a process of its own. FOLDER holds a checkpoint with its
tokenizer, and `rows.safetensors`. It is loaded in 4 bits once; a warm-up compiles; then every line
`{"steps": N}` on the standard input trains N + 1 steps and is answered by one JSON line on the
standard output: `{"step_s": seconds, "peak_bytes": bytes, "loss": mean}`. All else that is printed
goes to the standard error. Between two rounds the weights stay on the device, and nothing runs.

The settings are unsloth's best: no dropout (its fused kernels are for none) and its own
checkpointing, which moves activations to the host, or none.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

WARM_UP_STEPS = 2
SPLIT_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def load(folder: Path, checkpointing: str | bool, length: int) -> Any:
    """The model in 4 bits with unsloth's adapter on all linears, as its guide says."""
    import torch
    from unsloth import FastLanguageModel

    base, _ = FastLanguageModel.from_pretrained(
        str(folder),
        max_seq_length=length,
        dtype=torch.bfloat16,
        load_in_4bit=True,
        use_gradient_checkpointing=checkpointing,
        local_files_only=True,
    )
    from throughput_round import LORA_ALPHA, LORA_RANK

    return FastLanguageModel.get_peft_model(
        base,
        r=LORA_RANK,
        lora_alpha=LORA_ALPHA,
        lora_dropout=0.0,
        bias="none",
        target_modules=list(SPLIT_TARGETS),
        use_gradient_checkpointing=checkpointing,
        random_state=0,
        max_seq_length=length,
    )


def made_of(model: Any) -> dict[str, int]:
    """How many linears are stored in 4 bits, and how many layers join q, k and v with adapters.

    Raises RuntimeError if nothing is in 4 bits: without a bitsandbytes that suits it, unsloth goes
    on in 16 bits.
    """
    from bitsandbytes.nn import Linear4bit

    in_4_bits = sum(isinstance(module, Linear4bit) for module in model.modules())
    if not in_4_bits:
        raise RuntimeError("unsloth loaded nothing in 4 bits")
    layers = model.base_model.model.model.layers
    products = [getattr(layer.self_attn, "apply_qkv", None) for layer in layers]
    joined = sum(getattr(product, "__name__", "") == "apply_lora_qkv" for product in products)
    return {"linears_in_4_bits": in_4_bits, "joined_layers": joined}


def train(model: Any, ids: Any, rows: int, steps: int) -> dict[str, float]:
    """Train one more step than `steps`: seconds of a step but the first, bytes, loss."""
    import torch
    from throughput_round import GPU, Clock, Rows, stock_arguments
    from transformers import Trainer, TrainingArguments

    clock, peak = Clock(), 0
    gc.collect()
    if GPU:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(**stock_arguments(Path(folder), steps + 1, rows))
        trainer = Trainer(model=model, args=arguments, train_dataset=Rows(ids), callbacks=[clock])
        loss = trainer.train().training_loss
    if GPU:
        peak = torch.cuda.max_memory_allocated()
    del trainer
    gc.collect()
    if GPU:
        torch.cuda.empty_cache()  # the others need the space
    return {"step_s": clock.step_s, "peak_bytes": peak, "loss": loss}


def main() -> None:
    """Load, warm up, say so, and train a round for every line."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    folder, checkpointing = Path(sys.argv[1]), sys.argv[2]
    rows, length = int(sys.argv[3]), int(sys.argv[4])
    import unsloth  # before transformers: it refuses to promise anything otherwise
    from safetensors.torch import load_file

    model = load(folder, False if checkpointing == "none" else checkpointing, length)
    found = made_of(model)
    ids = load_file(folder / "rows.safetensors")["ids"]
    train(model, ids, rows, WARM_UP_STEPS)
    ready = {"unsloth": unsloth.__version__, **found}
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        print(json.dumps(train(model, ids, rows, json.loads(line)["steps"])), file=answers)


if __name__ == "__main__":
    main()
