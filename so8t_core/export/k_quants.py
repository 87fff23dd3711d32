"""K-quants: made by llama.cpp in a process of its own, which can be held and ended at any time."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gguf import LlamaFileType

from so8t_core.contract.errors import ModelError
from so8t_core.contract.files import replacing
from so8t_core.contract.settings.export import GgufType
from so8t_core.export.gguf import GgufFile, GgufSource, Inspect, Step
from so8t_core.export.gguf_check import check_gguf
from so8t_core.model.llama_cpp_package import load, require

if TYPE_CHECKING:
    from so8t_core.phases.base import PauseGate

_FILE_TYPES = {
    "Q6_K": LlamaFileType.MOSTLY_Q6_K,
    "Q5_K_M": LlamaFileType.MOSTLY_Q5_K_M,
    "Q4_K_M": LlamaFileType.MOSTLY_Q4_K_M,
    "Q3_K_M": LlamaFileType.MOSTLY_Q3_K_M,
}
_LOOK_S = 0.1


def require_llama_cpp(type_: GgufType) -> None:
    """Raise `InputMissing` where llama.cpp, which alone makes K-quants, is not installed."""
    require(f"A GGUF file of type {type_} is made by llama.cpp, which is not installed.")


def write_k_quant(
    source: GgufSource,
    finer: Path,
    path: Path,
    *,
    type_: GgufType,
    pause: PauseGate,
    step: Step | None = None,
    inspect: Inspect | None = None,
) -> GgufFile:
    """Quantise `finer`, an F32 or F16 file of the same model, and compare the result with `source`.

    llama.cpp chooses the type of each tensor; its metadata are those of `finer`. The file appears
    only after the check has passed, and `inspect` too. Raises `InputMissing` without llama.cpp,
    `ModelError` where it fails or its result is too far away.
    """
    require_llama_cpp(type_)
    plan = source.plan("F32")
    with replacing(path) as partial:
        _quantise(finer, partial, type_, pause)
        check = check_gguf(partial, plan, source.read, step, digests=None)
        if inspect is not None:
            inspect(partial)
    return GgufFile(path, path.stat().st_size, (), check)


def _quantise(finer: Path, target: Path, type_: GgufType, pause: PauseGate) -> None:
    """Run the child to its end; a pause stops it in place, leaving ends it."""
    command = [sys.executable, "-m", __name__, str(finer), str(target), type_]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            while child.poll() is None:
                if pause.requested:
                    child.send_signal(signal.SIGSTOP)
                    pause.point()
                    child.send_signal(signal.SIGCONT)
                try:
                    child.wait(_LOOK_S)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode != 0:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise ModelError(
                f"llama.cpp could not make a {type_} file ({last[0][:200]}).",
                where=str(finer),
                hint="Leave the type out of export.gguf_types, or try another llama-cpp-python.",
            )


def main(arguments: list[str]) -> int:
    """`python -m so8t_core.export.k_quants SOURCE TARGET TYPE`; 0 where llama.cpp succeeded."""
    llama_cpp = load()
    source, target, type_ = arguments
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = int(_FILE_TYPES[type_])
    return int(llama_cpp.llama_model_quantize(source.encode(), target.encode(), parameters))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
