"""Whether llama.cpp is there, as the package llama-cpp-python; it is no dependency of ours."""

from __future__ import annotations

import atexit
from functools import cache
from importlib.util import find_spec
from typing import Any

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


@cache
def load() -> Any:
    """The package, imported; `ImportError` where it is not installed.

    It opens the null device for itself and leaves it open for good, with a `ResourceWarning` at
    exit: closed here instead. Models must be closed before that, since it is what silences them.
    """
    import llama_cpp
    from llama_cpp import _utils

    atexit.register(_utils.outnull_file.close)
    atexit.register(_utils.errnull_file.close)
    return llama_cpp
