import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from so8t_core.cleanse import slurm_queue
from so8t_core.cleanse.executors import died_here, run_here
from so8t_core.cleanse.signals import AtWork, WorkerSignals, give_command, read_progress
from so8t_core.contract.errors import ResourceError
from so8t_core.contract.files import sha256_file
from so8t_core.contract.settings.cleanse import CleanseSettings
from so8t_core.phases import cleanse
from tests.cleanse.crawls import Crawled, context, write_crawl
from tests.cleanse.samples import page, prose
from tests.cleanse.test_phase import HOST, hashes, new_run

DEADLY = f"{HOST}/deadly"


def pages_with_a_slow_one():
    """A page that takes seconds, so that its worker can be killed on it, among quick ones."""
    pages = [
        Crawled(f"{HOST}/a/{seed:02}", page(f"記事{seed}", prose(seed, 6))) for seed in range(8)
    ]
    long = "\n".join(prose(seed, 30) for seed in range(100, 340))
    return [*pages, Crawled(DEADLY, page("長い記事", long))]


def test_a_worker_tells_where_it_is_and_stops_when_told(tmp_path):
    target = tmp_path / "shard"
    give_command(tmp_path, "go")
    signals = WorkerSignals(tmp_path, target, 60)
    signals.tick(7)
    at_work = read_progress(target)
    assert at_work is not None
    assert (at_work.pid, at_work.document, at_work.lives) == (os.getpid(), 7, True)
    signals.close()
    assert read_progress(target) is None


def test_a_dead_worker_is_known_and_one_on_another_machine_is_trusted():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not AtWork(os.uname().nodename, process.pid, 0).lives
    assert AtWork("elsewhere", process.pid, 0).lives


DYING = """
import os
from pathlib import Path
from so8t_core.cleanse import slurm_queue
from so8t_core.cleanse.executors import run_here
from tests.cleanse.test_executors import FakeJob, Nobody
run_here([FakeJob(Path({target!r}), lambda: os._exit(9))], Nobody(), lambda _: None)
"""


class Nobody:
    """Watches nothing."""

    def point(self):
        pass


@dataclass(frozen=True)
class FakeJob:
    """A job of two documents."""

    target: Path
    at_second: Callable[[], None]
    size: int = 2
    settings: CleanseSettings = field(default_factory=CleanseSettings)

    def run(self, tick):
        tick(0)
        tick(1)
        self.at_second()
        tick(2)


def test_a_death_in_the_phases_own_process_is_seen_at_the_next_start(tmp_path):
    """The next start then takes workers, of which one may die; a pause or an end leaves no trace."""
    job = FakeJob(tmp_path / "shard", lambda: None)
    assert not died_here([job])
    run_here([job], Nobody(), lambda _: None)
    assert not died_here([job])
    with pytest.raises(RuntimeError):
        run_here([FakeJob(job.target, raising)], Nobody(), lambda _: None)
    assert not died_here([job])
    code = DYING.format(target=str(job.target))
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert died_here([job])
    note = read_progress(job.target)
    assert note is not None
    assert note.document == 1


HANGING = """
import time
from pathlib import Path
from so8t_core.cleanse.executors import run_here
from so8t_core.contract.settings.cleanse import CleanseSettings
from tests.cleanse.test_executors import FakeJob, Nobody
settings = CleanseSettings(page_timeout_s=0.2)
run_here([FakeJob(Path({target!r}), lambda: time.sleep(60), 2, settings)], Nobody(), lambda _: None)
"""


def test_a_page_that_hangs_ends_its_process_and_is_known_as_such(tmp_path):
    target = tmp_path / "shard"
    code = HANGING.format(target=str(target))
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    at_work = read_progress(target)
    assert at_work is not None
    assert (at_work.document, at_work.lives) == (1, False)
    assert at_work.hung(target, 0.2)
    assert not at_work.hung(target, 3600)


def test_a_pause_is_no_time_of_the_page(tmp_path):
    """The clock rests while the phase holds, for longer than a page may take."""
    target = tmp_path / "shard"
    code = HANGING.format(target=str(target)).replace("time.sleep(60)", "None").replace(
        "Nobody()", "Pausing()").replace("Nobody\n", "Pausing\n")  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")


class Pausing:
    """Holds before each document."""

    def point(self):
        time.sleep(0.6)


@pytest.mark.long
def test_a_page_that_hangs_is_left_out_and_the_rest_goes_on(tmp_path):
    """The slow page takes seconds, of which it gets a part of one."""
    root = tmp_path / "run"
    write_crawl(root / "crawl", pages_with_a_slow_one())
    ctx, _ = context(root, shard_documents=5, executor="local", workers=2, pool_min_documents=0,
                     max_page_bytes=10**7, page_timeout_s=0.2)  # fmt: skip
    outcome = cleanse.run(ctx)
    assert outcome.figures["dropped_by_reason"] == {"worker_hung": 1}
    ledger = pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
    assert [row["url"] for row in ledger if row["reason"] == "worker_hung"] == [DEADLY]
    assert outcome.figures["documents_kept"] == 8


def raising():
    raise RuntimeError


@pytest.mark.long
def test_a_page_that_kills_the_phase_itself_is_left_out_after_a_resume(tmp_path):
    """In one process a deadly page ends the phase; the next start has workers to lose."""
    root = tmp_path / "run"
    write_crawl(root / "crawl", pages_with_a_slow_one())
    settings = {"shard_documents": 5, "workers": 2, "max_page_bytes": 10**7}
    phase = [sys.executable, "-m", "tests.cleanse.killable", str(root), json.dumps(settings)]
    first = subprocess.Popen(phase, stdout=subprocess.DEVNULL)
    over = threading.Event()
    killer = threading.Thread(target=kill_on_the_slow_page, args=(root, over))
    killer.start()
    try:
        assert first.wait(120) == -signal.SIGKILL
        ctx, _ = context(root, **settings)
        outcome = cleanse.run(ctx)
    finally:
        over.set()
        killer.join()
    assert outcome.figures["dropped_by_reason"] == {"worker_killed": 1}
    assert outcome.figures["documents_kept"] == 8


def kill_on_the_slow_page(root, over):
    while not over.is_set():
        for path in root.rglob("*.progress"):
            at_work = read_progress(path.with_name(path.name.removesuffix(".progress")))
            if at_work is not None and at_work.document == 3 and path.name[:5] == "00001":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(at_work.pid, signal.SIGKILL)
                time.sleep(0.5)
        time.sleep(0.02)


@pytest.mark.long
def test_a_page_that_kills_its_worker_is_left_out_and_the_rest_goes_on(tmp_path):
    root = tmp_path / "run"
    write_crawl(root / "crawl", pages_with_a_slow_one())
    over = threading.Event()

    killer = threading.Thread(target=kill_on_the_slow_page, args=(root, over))
    killer.start()
    try:
        ctx, _ = context(root, shard_documents=5, executor="local", workers=2, pool_min_documents=0,
                         max_page_bytes=10**7)  # fmt: skip
        outcome = cleanse.run(ctx)
    finally:
        over.set()
        killer.join()
    assert outcome.figures["dropped_by_reason"] == {"worker_killed": 1}
    ledger = pq.read_table(root / "cleanse" / "ledger.parquet").to_pylist()
    assert [row["url"] for row in ledger if row["reason"] == "worker_killed"] == [DEADLY]
    assert outcome.figures["documents_kept"] == 8


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    """A small crawl, and the hashes of its cleansing in one process."""
    folder = tmp_path_factory.mktemp("small") / "crawl"
    pages = [Crawled(f"{HOST}/{seed}", page(f"記事{seed}", prose(seed, 5))) for seed in range(12)]
    write_crawl(folder, pages)
    return folder


SBATCH = """\
#!{python}
# A double of Slurm's sbatch: runs every task of the array here and now.
import os, re, subprocess, sys
script = open(sys.argv[-1]).read()
array = re.search(r"#SBATCH --array=([0-9]+)-([0-9]+)", script)
first, last = map(int, array.groups()) if array else (0, 0)
for task in range(first, last + 1):
    env = {{**os.environ, "SLURM_ARRAY_TASK_ID": str(task), "SLURM_JOB_ID": "1", "SLURM_NODEID": "0",
           "SLURM_PROCID": "0", "SLURM_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_CPU": "1"}}
    subprocess.run(["bash", sys.argv[-1]], env=env, check=False)
print("Submitted batch job 1")
"""
SRUN = """\
#!{python}
import subprocess, sys
words = sys.argv[1:]
while words and words[0].startswith("-"):
    if words.pop(0) in ("-n", "--ntasks"):
        words.pop(0)
sys.exit(subprocess.run(words).returncode)
"""


SCONTROL = """\
#!{python}
# A double of Slurm's `scontrol show hostnames`.
print("localhost")
"""
SQUEUE = """\
#!{python}
# A double of Slurm's squeue: sbatch's double has run all tasks before it came back.
"""


@pytest.mark.parametrize(
    ("answers", "over"),
    [
        (["None", "None"], [False, False]),
        (["Priority\nDependency", "", ""], [False, False, True]),
        (["DependencyNeverSatisfied", "Dependency"], [False, True]),
        (["", "Resources", ""], [False, False, False]),
        (["!", "!"], [False, False]),
    ],
)
def test_a_task_that_waits_in_the_queue_is_waited_for(tmp_path, monkeypatch, answers, over):
    """Only jobs that wait for others for ever, or none, are no reason to wait."""
    squeue = tmp_path / "squeue"
    squeue.write_text('#!/bin/sh\ngrep -q "!" "$0.txt" && exit 1\ncat "$0.txt"\n')
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm_queue, "_ASK_EVERY_S", 0.0)
    queue = slurm_queue.SlurmQueue("so8t-cleanse-x")
    found = []
    for answer in answers:
        (tmp_path / "squeue.txt").write_text(answer)
        found.append(queue.is_over)
    assert found == over


def test_without_squeue_the_error_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ResourceError, match="queue"):
        _ = slurm_queue.SlurmQueue("x").is_over


@pytest.mark.long
def test_slurm_gives_the_same_data(tmp_path, crawl, monkeypatch):
    here = new_run(tmp_path, crawl, "here")
    ctx, _ = context(here)
    cleanse.run(ctx)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (
        ("sbatch", SBATCH),
        ("srun", SRUN),
        ("squeue", SQUEUE),
        ("scontrol", SCONTROL),
    ):
        (tools / name).write_text(textwrap.dedent(text).format(python=sys.executable))
        (tools / name).chmod(0o755)
    path = f"{tools}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    there = new_run(tmp_path, crawl, "there")
    ctx, _ = context(there, executor="slurm", shard_documents=6, workers=2, slurm_time="00:00:30")
    cleanse.run(ctx)
    assert hashes(there) == hashes(here)
    assert sha256_file(there / "cleanse" / "ledger.parquet") == hashes(here)["ledger.parquet"]
