"""A phase that counts to a number, durably, and does odd things when a file asks for them."""

import os
import signal
import time

from so8t_core.contract.errors import InputInvalid, Unreachable
from so8t_core.contract.files import sha256_text, write_text
from so8t_core.phases.base import Outcome, PhaseContext

STEPS = 40
STEP_S = 0.01


def run(ctx: PhaseContext) -> Outcome:
    count_file = ctx.folder / "count.txt"
    done = int(count_file.read_text()) if count_file.exists() else 0
    ctx.emit.rewound(done)
    wishes = ctx.run.root / "wishes"
    for step in range(done + 1, STEPS + 1):
        ctx.pause.point()
        time.sleep(STEP_S)
        write_text(count_file, str(step))
        ctx.emit.progress(step, STEPS, "steps")
        ctx.emit.metric(step, {"loss": 1.0 / step})
        _obey(wishes / ctx.phase)
    ctx.emit.log("info", f"{ctx.phase} counted to {STEPS}")
    ctx.emit.item("page", "a page", url="http://example.com/")
    result = ctx.folder / "result.txt"
    write_text(result, "".join(m.digest for m in ctx.inputs.values()) + ctx.phase)
    return Outcome(sha256_text(result.read_text()), (result,), {"steps": STEPS})


def _obey(wish_file) -> None:
    if not wish_file.exists():
        return
    wish, _, times = wish_file.read_text().partition(" ")
    left = int(times or 1) - 1
    if left < 0:
        return
    write_text(wish_file, f"{wish} {left}")
    if wish == "unreachable":
        raise Unreachable("Nothing answers.", where="the test")
    if wish == "invalid":
        raise InputInvalid("It cannot be used.", where="the test", hint="Change it.")
    if wish == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if wish == "defect":
        raise RuntimeError("a defect")
    if wish == "full":
        raise OSError(28, "No space left on device", "somewhere")
