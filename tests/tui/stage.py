"""A believable run played into a journal, up to any moment, with times spread over minutes."""

from __future__ import annotations

import math
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from so8t_core.contract.control import ControlStore
from so8t_core.contract.events import Draft
from so8t_core.contract.journal import JournalWriter
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir

GB_TOTAL = 15.6
TRAIN_STEPS = 120
PAGES = 48
LAYERS = 8
HOSTS = ("www.demo.so8t.example", "blog.demo.so8t.example", "closed.demo.so8t.example")


@dataclass
class Play:
    """Collects events with their times; `write` puts them into a run directory."""

    start: float = field(default_factory=lambda: time.time() - 400)
    gpu: bool = False
    _events: list[tuple[float, Draft]] = field(default_factory=list)
    _now: float = 0.0
    _random: random.Random = field(default_factory=lambda: random.Random(8))

    def wait(self, seconds: float) -> None:
        self._now += seconds

    def tell(self, kind: str, phase: PhaseName | None = None, **payload: Any) -> None:
        self._events.append((self.start + self._now, Draft(kind, payload, phase)))

    def created(self) -> None:
        self.tell("run_created", settings_sha256="0" * 64, version="0.1.0")

    def engine(self, pid: int = 4242) -> None:
        self.tell(
            "engine_started",
            pid=pid,
            boot_id="b",
            host="workbench",
            version="0.1.0",
            foreground=False,
        )

    def begin(self, phase: PhaseName, attempt: int = 1) -> None:
        self.tell("phase_started", phase, attempt=attempt, pid=4300)
        self.log(phase, "info", f"{phase} begins")

    def done(self, phase: PhaseName, active_s: float, **figures: Any) -> None:
        self.tell("phase_done", phase, figures=figures, digest="d" * 64, active_s=active_s)

    def log(self, phase: PhaseName | None, level: str, message: str) -> None:
        self.tell("log", phase, level=level, message=message)

    def resources(self) -> None:
        shake = self._random.random
        values: dict[str, float] = {
            "cpu_percent": 60 + 35 * shake(),
            "ram_used_gb": 6.2 + 3 * shake(),
            "ram_total_gb": GB_TOTAL,
            "engine_rss_gb": 1.1 + 0.3 * shake(),
            "disk_free_gb": 41.0 - self._now / 400,
        }
        if self.gpu:
            values |= {
                "gpu0_used_gb": 9.1 + 0.5 * shake(),
                "gpu0_total_gb": 12.0,
                "gpu0_util_percent": 90 + 8 * shake(),
                "gpu0_temperature_c": 71.0,
                "gpu0_power_w": 168.0,
            }
        self.tell("resources", values=values)

    def crawl(self, share: float = 1.0) -> None:
        self.begin("crawl")
        for n in range(1, int(PAGES * share) + 1):
            self.wait(0.4)
            host = HOSTS[n % 2]
            self.tell("progress", "crawl", done=n, total=PAGES, unit="pages", message=host)
            self.tell(
                "item",
                "crawl",
                item="page",
                text=f"https://{host}/pages/{n:03d} 日本語の記事 {n}",
                status=200,
                size=18_000 + n,
            )
            if n % 4 == 0:
                self.tell("stats", "crawl", values=self._crawl_stats(n))
                self.resources()
        self.log("crawl", "warning", "https://www.demo.so8t.example/busy answers 503, again in 2 s")

    def _crawl_stats(self, n: int) -> dict[str, Any]:
        return {
            "pages_per_s": 2.5,
            "body_bytes": n * 18_500,
            "status": {"2xx": n, "3xx": 1, "4xx": 1, "5xx": 1},
            "refusals": {"robots": 3, "noindex": 2, "trap-calendar": 1, "content-type": 2},
            "hosts": {
                HOSTS[0]: "waiting 0.3 s: delay",
                HOSTS[1]: "fetching",
                HOSTS[2]: "waiting 4.0 s: HTTP 503",
            },
            "frontier": {"queued": PAGES - n, "done": n, "refused": 7, "failed": 1, "kept": n},
        }

    def cleanse(self, share: float = 1.0) -> None:
        self.begin("cleanse")
        for n in range(1, int(PAGES * share) + 1):
            self.wait(0.25)
            self.tell("progress", "cleanse", done=n, total=PAGES, unit="documents", message="")
            if n % 6 == 0:
                self.tell("stats", "cleanse", values=self._cleanse_stats(n))
                self.resources()

    def _cleanse_stats(self, n: int) -> dict[str, Any]:
        return {
            "documents_per_s": 4.0,
            "kept": n - n // 4,
            "dropped": {"near duplicate": n // 8, "too short": n // 12, "not Japanese": n // 24},
            "personal_data": {"phone": 3, "e-mail": 2, "address": 1},
            "labels": {"ALLOW": n - 4, "ESCALATION": 2, "REFUSE": 1},
            "duplicates": {"exact": 2, "near": n // 8},
            "instruction_pairs": n * 2,
        }

    def model(self) -> None:
        self.begin("verify")
        self.wait(9)
        self.done("verify", 9, logits_equal=True, max_difference=0.0, layers=30, prompts=4)
        self.begin("integrate")
        self.wait(4)
        self.done("integrate", 4, gates=30, blocks_per_gate=72, parameters_added=60480)

    def train(self, steps: int = TRAIN_STEPS) -> None:
        self.begin("train")
        for step in range(1, steps + 1):
            self.wait(1.4)
            self._train_step(step)
            if step % 3 == 0:
                self.resources()
            if step % 30 == 0:
                self.log("train", "info", f"step {step}: evaluation loss {self._loss(step):.3f}")
                self.tell(
                    "checkpoint",
                    "train",
                    step=step,
                    path=f"checkpoints/step-{step:08d}",
                    reason="every 30 steps",
                    size_bytes=41_300_000 + step,
                )
                self._answers(step)

    def _answers(self, step: int) -> None:
        """What the trainer tells after an evaluation: samples, and how long saving took."""
        answer = "京都の名物は八ツ橋です。" * (step // 30)
        self.tell("item", "train", item="sample", text=f"京都の名物は? → {answer}", step=step)
        english = "The capital of France is Paris, and it lies on the Seine."
        asked = "What is the capital of France?"
        self.tell("item", "train", item="sample", text=f"{asked} → {english}", step=step)
        stats = {"checkpoint_stall_s": 0.02, "checkpoint_write_s": 0.5, "best_step": step}
        self.tell("stats", "train", values={**stats, "best_eval_loss": self._loss(step) + 0.12})

    def _loss(self, step: int) -> float:
        return 3.4 * math.exp(-step / 40) + 1.9

    def _train_step(self, step: int) -> None:
        noise = self._random.gauss(0, 0.07)
        warm = min(1.0, step / 12)
        rate = 2e-4 * warm * 0.5 * (1 + math.cos(math.pi * max(0, step - 12) / (TRAIN_STEPS - 12)))
        points: list[list[Any]] = [
            ["loss", step, self._loss(step) + noise],
            ["learning_rate", step, rate],
            ["gate_learning_rate", step, rate / 2],
            ["grad_norm", step, abs(0.9 + 5 * noise + 2 / step)],
            ["orthogonality", step, 1e-7 * step],
            ["rotation_angle_mean", step, 0.0004 * step],
            ["tokens_per_s", step, 480 + 200 * noise],
            *([f"rotation_angle.{n}", step, 0.0001 * (n + 1) * step] for n in range(LAYERS)),
        ]
        if step % 10 == 0:
            points.append(["eval_loss", step, self._loss(step) + 0.12])
        self.tell("metrics", "train", points=points)
        left = (TRAIN_STEPS - step) * 1.4
        self.tell("stats", "train", values={"eta_s": left, "epoch": step / 60, "skipped_rows": 0})
        self.tell("progress", "train", done=step, total=TRAIN_STEPS, unit="steps", message="")

    def finish(self) -> None:
        figures = {"steps": TRAIN_STEPS, "loss": 2.07, "checkpoints": 4}
        self.done("train", TRAIN_STEPS * 1.4, **figures)
        self.begin("evaluate")
        for n in range(1, 5):
            self.wait(3)
            self.tell("progress", "evaluate", done=n, total=4, unit="tasks", message="")
            self.tell(
                "item",
                "evaluate",
                item="sample",
                text=f"質問{n}：京都の名物は何ですか。 → 八ツ橋です。",
            )
        base = {"bits_per_byte": 1.412, "format_ok_share": 0.62}
        tuned = {"bits_per_byte": 1.187, "format_ok_share": 0.94}
        self.done("evaluate", 12, base=base, tuned=tuned, documents=12)
        self.begin("export")
        self.wait(6)
        self.done("export", 6, max_logit_difference=3.1e-6, f16_bytes=271e6, q8_0_bytes=145e6)
        self.begin("report")
        self.wait(1)
        self.done("report", 1, pages=1)
        self.tell("run_finished", outcome="done", message="")
        self.tell("engine_stopped", exit_code=0, reason="done")

    def write(self, run: RunDir) -> RunDir:
        """Append everything told so far, each event at its own time."""
        run.root.mkdir(parents=True, exist_ok=True)
        run.logs.mkdir(exist_ok=True)
        if not run.settings_file.exists():
            run.settings_file.write_text("name: demo\n")
        with JournalWriter(run.journal) as journal:
            first = journal.last_seq
            journal.append(draft for _, draft in self._events)
        connection = sqlite3.connect(run.journal)
        with connection:
            connection.executemany(
                "UPDATE events SET ts = ? WHERE seq = ?",
                [(ts, first + n) for n, (ts, _) in enumerate(self._events, start=1)],
            )
        connection.close()
        ControlStore(run.control).close()
        self._events = []
        return run

    def until_now(self) -> None:
        """Shift the play so that its last event happens at this moment."""
        shift = time.time() - (self.start + self._now)
        self.start += shift
        self._events = [(ts + shift, draft) for ts, draft in self._events]


def play_to(moment: str, *, gpu: bool = False) -> Play:
    """A run up to `crawl`, `cleanse`, `train`, `paused`, `failed` or `finished`."""
    play = Play(gpu=gpu)
    play.created()
    play.engine()
    if moment == "crawl":
        play.crawl(0.6)
        return play
    play.crawl()
    play.done("crawl", 19.2, pages=PAGES, bytes=888_000, hosts=3)
    if moment == "cleanse":
        play.cleanse(0.6)
        return play
    play.cleanse()
    play.done("cleanse", 12.0, kept=36, dropped=12, instruction_pairs=96)
    play.model()
    if moment == "failed":
        _fail(play)
        return play
    play.train(TRAIN_STEPS if moment == "finished" else 74)
    if moment == "paused":
        play.tell("control_seen", revision=1, who="me/1", change="paused")
        play.tell("pause_requested", "train", mode="soft", who="me/1")
        play.tell("paused", "train", mode="soft")
    if moment == "finished":
        play.finish()
    return play


def _fail(play: Play) -> None:
    play.begin("train")
    play.wait(3)
    error = {
        "type": "ResourceError",
        "what": "The GPU's memory is full.",
        "where": "train.micro_batch_size = 4",
        "hint": "Halve train.micro_batch_size; gradients are then accumulated twice as often.",
        "retryable": False,
    }
    play.log("train", "error", "CUDA out of memory at step 3")
    play.tell("phase_failed", "train", attempt=3, error=error, retry_in_s=None)
    play.tell("run_finished", outcome="failed", message="train failed")
    play.tell("engine_stopped", exit_code=4, reason="train failed")


_HOLD = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def living_engine(run: RunDir) -> Iterator[int]:
    """A process that holds the run's lock, as an engine does; yields its pid."""
    run.heartbeat.touch()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _HOLD, str(run.lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process.pid
        finally:
            process.kill()


REPORT = """# SO8T run report

The demo run turned 48 pages into a small model.

| figure | base | tuned |
|---|---|---|
| bits per byte | 1.412 | 1.187 |

- [the corpus](../cleanse/dataset_card.md)
- 日本語の説明もここに。
"""


def with_report(run: RunDir, text: str = REPORT) -> RunDir:
    """Put a report beside the journal."""
    folder = run.phase("report")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(text, encoding="utf-8")
    return run


def make_run(root: Path, moment: str, *, gpu: bool = False) -> RunDir:
    """A whole run directory at a moment."""
    play = play_to(moment, gpu=gpu)
    play.until_now()
    run = play.write(RunDir(root / f"demo-{moment}"))
    return with_report(run) if moment == "finished" else run
