"""A phase in several processes, one a GPU: torchrun starts them, the first one gets the channel.

The process that the engine started becomes torchrun's agent. It hands the engine's channel to the
first rank over a socket of its own, since torchrun closes all descriptors. When a rank ends badly,
torchrun ends the others; when this process ends, the kernel ends all of them.
"""

# torch annotates its launcher only in part
# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from so8t_core.contract.control import read_control
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.runs import run_settings
from so8t_core.contract.settings.train import MOST_GPUS
from so8t_core.engine.channel import encode

_PLACE = "SO8T_CHANNEL_PLACE"
_FIRST_SPEAKS_S = 10.0
LIVE_GPUS = "train.gpus"
"""Live setting: on how many GPUs training starts the next time, whatever the run was made with."""


def own_rank() -> int | None:
    """The rank of this process; None where torchrun did not start it for us."""
    return int(os.environ["RANK"]) if _PLACE in os.environ else None


def forget_ranks() -> None:
    """Drop what a launcher of somebody else's left in the environment: this process is alone."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)


def wanted_ranks(run: RunDir, phase: PhaseName) -> int:
    """In how many processes the phase is to run: training alone has more than one."""
    if phase != "train":
        return 1
    wished = read_control(run.control).live.get(LIVE_GPUS)
    if isinstance(wished, int) and not isinstance(wished, bool) and 0 < wished <= MOST_GPUS:
        return wished
    return run_settings(run).train.gpus


def run_ranks(arguments: Mapping[str, Any], count: int) -> None:
    """Start the ranks and wait for them; tells the engine where they ended without a word."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    with tempfile.TemporaryDirectory(prefix="so8t-ranks-") as folder:
        place = Path(folder) / "channel"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(place))
            server.listen(1)
            giver = threading.Thread(
                target=_hand_over, args=(server, arguments["channel"]), daemon=True
            )
            giver.start()
            os.environ[_PLACE] = str(place)
            if sys.platform.startswith("linux"):  # all ranks are on this machine
                os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
            line = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(count)]
            try:
                torchrun.main([*line, "-m", "so8t_core.engine.worker", json.dumps(dict(arguments))])
            except ChildFailedError as error:
                if not _ended(place).exists():
                    rank, failure = error.get_first_failure()
                    _tell(arguments, _noted(place, rank) or _death(arguments, count, rank, failure))


def take_channel() -> int:
    """In the first rank: the descriptor of the engine's channel."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(os.environ[_PLACE])
        _, descriptors, _, _ = socket.recv_fds(asking, 1, 1)
    return descriptors[0]


def note_end() -> None:
    """In the first rank: the engine has been told how the phase ended."""
    if own_rank() is not None:
        _ended(Path(os.environ[_PLACE])).touch()


def leave_word(error: Mapping[str, Any]) -> None:
    """In another rank that fails: note why, and let the first one speak if it fails as well.

    What is wrong with data or settings is wrong on all ranks, and torchrun ends them all as soon as
    one of them ends.
    """
    place = Path(os.environ[_PLACE])
    _note_of(place, int(os.environ["RANK"])).write_text(json.dumps(dict(error)))
    until = time.monotonic() + _FIRST_SPEAKS_S
    while time.monotonic() < until and not _ended(place).exists():
        time.sleep(0.05)


def _note_of(place: Path, rank: int) -> Path:
    return place.with_name(f"error-{rank}.json")


def _noted(place: Path, rank: int) -> Mapping[str, Any] | None:
    note = _note_of(place, rank)
    if not note.is_file():
        return None
    error: Mapping[str, Any] = json.loads(note.read_text())
    return error


def _ended(place: Path) -> Path:
    return place.with_name("ended")


def _hand_over(server: socket.socket, descriptor: int) -> None:
    connection, _ = server.accept()
    with connection:
        socket.send_fds(connection, [b"c"], [descriptor])


def _death(arguments: Mapping[str, Any], count: int, rank: int, failure: Any) -> Mapping[str, Any]:
    code = failure.exitcode
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    log = RunDir(Path(arguments["run"])).logs / f"{arguments['phase']}.log"
    return {
        "type": "PhaseDied",
        "what": f"Rank {rank} of {count} {how}, so training ended on all of them.",
        "where": str(log),
        "hint": "The log file has its last words. If memory ran out, make batches smaller; what "
        "was saved is kept.",
        "retryable": True,
    }


def _tell(arguments: Mapping[str, Any], error: Mapping[str, Any]) -> None:
    end = {"t": "end", "status": "failed", "error": error}
    with socket.socket(fileno=os.dup(arguments["channel"])) as channel:
        channel.sendall(encode(end))
    sys.stdout.flush()
