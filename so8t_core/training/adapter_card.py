"""The card of an adapter: what it belongs to, how it is loaded, what it was trained on, its losses.

Its figures are those of the phase's manifest, without those that differ between two equal trainings
(times, resumes, the machine), so that equal trainings write equal folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from so8t_core.contract.settings import Settings
from so8t_core.model.card import (
    LIMITS,
    LIMITS_OF_OWN_DATA,
    base_of,
    cell,
    data_section,
    front_matter,
    hub_datasets,
    shown_base,
    table,
)

_FIGURES = (
    ("optimiser steps", "adapter_step"),
    ("tokens seen", "adapter_tokens"),
    ("tokens that gave a loss", "adapter_target_tokens"),
    ("LoRA parameters", "lora_parameters"),
    ("gate parameters", "gate_parameters"),
    ("base stored as", "base_storage"),
    ("arithmetic", "compute_dtype"),
    ("loss of the first step", "first_loss"),
    ("loss of its last step", "adapter_loss"),
    ("held-out loss before", "first_eval_loss"),
    ("held-out loss after", "adapter_eval_loss"),
    ("steps of the whole training", "steps"),
    ("mean rotation, radians", "rotation_angle_mean_rad"),
    ("largest rotation, radians", "rotation_angle_max_rad"),
)
_SETTINGS = (
    "learning_rate",
    "gate_learning_rate",
    "schedule",
    "warmup_fraction",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "micro_batch_size",
    "accumulation_steps",
    "max_length_tokens",
    "packing",
    "optimizer",
)
_LOADING = """\
## Loading it

It belongs on a gated checkpoint, which `so8t integrate` makes of the base and which carries its own
code:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("GATED_CHECKPOINT", trust_remote_code=True)
model = PeftModel.from_pretrained(base, "THIS_FOLDER").eval()
```

`adapter_config.json` names the checkpoint that it was trained on as seen from this folder. PEFT
looks from the current directory, so
`AutoPeftModelForCausalLM.from_pretrained(".", trust_remote_code=True)` works in this folder alone,
and only while that checkpoint lies where it lay; from elsewhere PEFT complains of a "Repo id". The
lines above work anywhere.

`gates.safetensors` holds the rotations once more on their own. `so8t export` folds everything into
a plain Phi-3 that needs no code.
"""


def render_adapter_card(
    settings: Settings,
    facts: Mapping[str, Any],
    figures: Mapping[str, Any],
    data: Mapping[str, Any] | None,
) -> str:
    """The card in Markdown.

    `facts`: training.json; `figures`: the phase's; `data`: cleanse's figures, None where the data
    was the user's own.
    """
    gates = "LoRA and SO(8) rotation gates" if figures["gate_parameters"] else "LoRA"
    base = base_of(settings)
    owner = cell(shown_base(base))
    text = "Japanese text" if data is not None else "a data set of the user's own"
    chosen = facts["settings"]
    shown = [(label, _figure(figures[key])) for label, key in _FIGURES if key in figures]
    parts = [
        front_matter(
            base,
            library="peft",
            language="ja" if data is not None else None,
            datasets=hub_datasets(settings) if data is not None else (),
            tags=("lora", "so8t"),
        ),
        f"# {settings.export.name}: adapter\n\n{gates} for {owner}, trained on {text}.\n",
        _LOADING,
        table("Training", ("figure", "value"), shown) + _taken(figures),
        table("Settings", ("setting", "value"), [(name, chosen[name]) for name in _SETTINGS]),
        data_section(data),
        f"## Limits\n\n{LIMITS if data is not None else LIMITS_OF_OWN_DATA}",
        table(
            "Made from (SHA-256)",
            ("what", "digest"),
            [
                ("gated checkpoint", facts["base_model_digest"]),
                ("training data", facts["training_data_digest"]),
                ("trained weights", facts["digest"]),
            ],
        ),
    ]
    return "\n".join(parts)


def _taken(figures: Mapping[str, Any]) -> str:
    """Which step the adapter is of, where that is not the last, or should not have been."""
    told = []
    step, last = figures["adapter_step"], figures["steps"]
    if step != last:
        told.append(
            f"The adapter is that of step {step:,}, where the held-out loss was lowest; training "
            f"went on to step {last:,}."
        )
    if (lost := figures["lost_best_step"]) is not None:
        told.append(f"Step {lost:,} had a lower held-out loss; its checkpoint was lost.")
    return f"\n{' '.join(told)}\n" if told else ""


def _figure(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
