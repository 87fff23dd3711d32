"""The SO8T model: rotation, gate, integration into a base, verification, fold."""

# transformers annotates only part of its registration
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations


def register() -> None:
    """Make transformers' Auto classes know the gated Phi-3; may be called any number of times."""
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    from so8t_core.model.modeling_phi3_so8t import (
        SO8TPhi3Config,
        SO8TPhi3ForCausalLM,
        SO8TPhi3Model,
    )

    AutoConfig.register(SO8TPhi3Config.model_type, SO8TPhi3Config, exist_ok=True)
    AutoModel.register(SO8TPhi3Config, SO8TPhi3Model, exist_ok=True)
    AutoModelForCausalLM.register(SO8TPhi3Config, SO8TPhi3ForCausalLM, exist_ok=True)
    # saving a model then also copies these two files into the checkpoint
    SO8TPhi3Config.register_for_auto_class("AutoConfig")
    SO8TPhi3Model.register_for_auto_class("AutoModel")
    SO8TPhi3ForCausalLM.register_for_auto_class("AutoModelForCausalLM")
