"""What a command does under somebody else's launcher of processes, such as torchrun."""

from __future__ import annotations

from collections.abc import Mapping

from so8t_core.contract.errors import UsageError

_COUNTS = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""In which variable launchers say how many they have started: torchrun's own first."""


def require_started_once(environment: Mapping[str, str]) -> None:
    """Raise `UsageError` where a launcher has started this command several times at once.

    Each of them would begin a run of its own. Training in several processes is started by the
    engine, which alone can pause and resume them all.
    """
    for name in _COUNTS:
        told = environment.get(name, "")
        if told.isascii() and told.isdigit() and int(told) > 1:
            raise UsageError(
                f"A launcher has started this command {told} times, and each would begin a "
                "training of its own.",
                where=f"{name}={told} in the environment",
                hint=f"Start it once, without torchrun or accelerate launch: `so8t train --gpus "
                f"{told}` (or train.gpus: {told} in the settings) starts torchrun itself. If the "
                f"variable is left over from something else, unset it.",
            )
