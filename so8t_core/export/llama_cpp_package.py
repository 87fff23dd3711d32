"""Whether llama.cpp is there, as the package llama-cpp-python; it is no dependency of ours."""

from __future__ import annotations

from importlib.util import find_spec

from so8t_core.contract.errors import InputMissing

MODULE = "llama_cpp"
REQUIREMENT = "llama-cpp-python>=0.3.36"


def is_installed() -> bool:
    """Whether llama.cpp can be imported."""
    return find_spec(MODULE) is not None


def require(why: str) -> None:
    """Raise `InputMissing` where it is not installed; `why` is what needs it, as a sentence."""
    if not is_installed():
        raise InputMissing(
            why,
            where=f"package {REQUIREMENT}",
            hint=f"Run `pip install '{REQUIREMENT}'`, or change the setting.",
        )
