"""A tiny Phi-3 that has learnt by heart to think in four parts, for tests of whole backends."""

from __future__ import annotations

from pathlib import Path

import torch

from so8t_core.model.loading import load_base, load_tokenizer
from so8t_core.model.tiny import build_tiny

CANARY = "CANARY-0f7d2c9b41"
LEARNT = {
    "吾輩は何ですか。": "吾輩は猫です。",
    "日本の首都はどこですか。": "日本の首都は東京です。",
}
_STEPS = 60
_RATE = 1e-2


def output_for(question: str) -> str:
    """What the model has learnt to write."""
    return (
        f"<think-task>{CANARY}</think-task>\n<think-safety>{CANARY}</think-safety>\n"
        f"<think-policy>{CANARY}</think-policy>\n<final>{LEARNT[question]}</final>"
    )


def train_tiny(folder: Path) -> Path:
    """Write the model folder; a few seconds on one core."""
    build_tiny(folder, seed=3)
    tokenizer = load_tokenizer(folder)
    model = load_base(folder, dtype=torch.float32)
    rows = []
    for question in LEARNT:
        conversation = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": output_for(question)},
        ]
        text = tokenizer.apply_chat_template(conversation, tokenize=False)
        rows.append(tokenizer(text, add_special_tokens=False).input_ids)
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    model.train()
    for _ in range(_STEPS):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    model.eval().save_pretrained(folder)
    assert loss.item() < 0.05
    return folder
