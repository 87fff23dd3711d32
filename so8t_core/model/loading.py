"""Loading base and gated models, quietly and in a known dtype."""

# transformers annotates only part of its loading functions
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import ModelError, ResourceError
from so8t_core.model.weights import GENERATION_FILE, torch_dtype

if TYPE_CHECKING:
    import torch
    from transformers import Phi3ForCausalLM, PreTrainedTokenizerBase

    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3Config, SO8TPhi3ForCausalLM


_REFUSALS = (AttributeError, ImportError, LookupError, TypeError, ValueError)
"""What transformers is seen to raise for JSON files whose values are not what it expects."""


def _said(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without progress bars and load reports on the terminal; the former state comes back."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load_base(
    path: Path, *, dtype: torch.dtype, device: str = "cpu", **options: Any
) -> Phi3ForCausalLM:
    """A stock Phi-3 folder in evaluation mode; `options` go to `from_pretrained`.

    Raises `ModelError` where a weight is missing or left over.
    """
    from transformers import Phi3ForCausalLM

    model: Phi3ForCausalLM = _load(Phi3ForCausalLM, path, dtype, device, options)
    return model


def load_gated(
    path: Path, *, dtype: torch.dtype, device: str = "cpu", **options: Any
) -> SO8TPhi3ForCausalLM:
    """A gated checkpoint in evaluation mode, by the code of this installation.

    Raises `ModelError` where a weight is missing or left over.
    """
    from so8t_core.model import register
    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3ForCausalLM

    register()
    model: SO8TPhi3ForCausalLM = _load(SO8TPhi3ForCausalLM, path, dtype, device, options)
    return model


def load_base_with_gates(
    path: Path, config: SO8TPhi3Config, *, dtype: torch.dtype, device: str = "cpu"
) -> SO8TPhi3ForCausalLM:
    """A stock Phi-3 folder as a gated model at the identity, in evaluation mode.

    Raises `ModelError` where a weight other than the gates is missing, or one is left over.
    """
    from so8t_core.model.modeling_phi3_so8t import SO8TPhi3ForCausalLM

    model: SO8TPhi3ForCausalLM = _load(
        SO8TPhi3ForCausalLM, path, dtype, device, {"config": config}, new="rotation_gate.theta"
    )
    return model


def _load(
    model_class: Any,
    path: Path,
    dtype: torch.dtype,
    device: str,
    options: dict[str, Any],
    new: str | None = None,
) -> Any:
    from huggingface_hub.errors import StrictDataclassError

    try:
        with quiet_transformers():
            model, info = model_class.from_pretrained(
                path, dtype=dtype, output_loading_info=True, local_files_only=True, **options
            )
    except (*_REFUSALS, StrictDataclassError) as error:
        raise ModelError(
            f"The model cannot be loaded ({_said(error)}).",
            where=str(path),
            hint="Mend what config.json or generation_config.json asks for, or fetch the model "
            "again; they are damaged, or ask for what is not installed.",
        ) from error
    # a configuration may ask for bare tuples or for more outputs; no code here does
    model.config.return_dict = True
    model.config.output_attentions = model.config.output_hidden_states = False
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(name for name in map(str, info[kind]) if not (new and name.endswith(new)))
        if names:
            raise ModelError(
                f"Loading the model left {kind.replace('_', ' ')}: {', '.join(names[:3])}"
                f"{', ...' if len(names) > 3 else ''}.",
                where=str(path),
                hint="Fetch or build the model again.",
            )
    return model.to(device).eval()


def check_generation_config(path: Path) -> None:
    """Raise `ModelError` where the folder has a generation_config.json that cannot be read."""
    from transformers import GenerationConfig

    if not (path / GENERATION_FILE).is_file():
        return
    try:
        with quiet_transformers():
            GenerationConfig.from_pretrained(path, local_files_only=True)
    except (OSError, *_REFUSALS) as error:
        raise ModelError(
            f"The settings for generation cannot be read ({_said(error)}).",
            where=str(path / GENERATION_FILE),
            hint="Fetch the model again, or mend or remove this file.",
        ) from error


def load_tokenizer(path: Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The tokenizer beside a model. Raises `ModelError` where it cannot be read."""
    from transformers import AutoTokenizer

    from so8t_core.model import register

    register()
    try:
        with quiet_transformers():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=trust_remote_code
            )
    except (OSError, *_REFUSALS) as error:
        raise ModelError(
            f"The tokenizer cannot be loaded ({_said(error)}).",
            where=str(path),
            hint="Give a model folder with its tokenizer files; if the tokenizer needs code of its "
            "own and you trust it, set model.trust_remote_code.",
        ) from error
    return tokenizer


def pick_device(wanted: str) -> str:
    """Where to compute: `auto` is `cuda` where there is a GPU, else `cpu`.

    Raises `ResourceError` for a GPU that is asked for and not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "A GPU is asked for and torch sees none.",
            where="device: cuda",
            hint="Set the device to auto or cpu, or install a torch build for your GPU.",
        )
    return wanted


def compute_dtype(wanted: str, stored: str, device: str) -> torch.dtype:
    """The dtype to compute in: `auto` is the stored one, but float32 for float16 on a CPU."""
    name = stored if wanted == "auto" else wanted
    if wanted == "auto" and device == "cpu" and name in ("float16", "float64"):
        name = "float32"
    return torch_dtype(name)
