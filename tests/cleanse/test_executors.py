import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pyarrow.parquet as pq
import pytest

from so8t_core.cleanse.signals import AtWork, WorkerSignals, give_command, read_progress
from so8t_core.contract.files import sha256_file
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
    signals = WorkerSignals(tmp_path, target)
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


@pytest.mark.long
def test_a_page_that_kills_its_worker_is_left_out_and_the_rest_goes_on(tmp_path):
    root = tmp_path / "run"
    write_crawl(root / "crawl", pages_with_a_slow_one())
    over = threading.Event()

    def kill_on_the_slow_page():
        while not over.is_set():
            for path in root.rglob("*.progress"):
                at_work = read_progress(path.with_name(path.name.removesuffix(".progress")))
                if at_work is not None and at_work.document == 3 and path.name[:5] == "00001":
                    os.kill(at_work.pid, signal.SIGKILL)
                    time.sleep(0.5)
            time.sleep(0.02)

    killer = threading.Thread(target=kill_on_the_slow_page)
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
           "SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "1", "SLURM_MEM_PER_CPU": "1"}}
    subprocess.run(["bash", sys.argv[-1]], env=env, check=False)
print("Submitted batch job 1")
"""
SRUN = """\
#!{python}
import subprocess, sys
words = sys.argv[1:]
while words and words[0].startswith("-"):
    words.pop(0)
sys.exit(subprocess.run(words).returncode)
"""


@pytest.mark.long
def test_slurm_gives_the_same_data(tmp_path, crawl, monkeypatch):
    here = new_run(tmp_path, crawl, "here")
    ctx, _ = context(here)
    cleanse.run(ctx)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", SBATCH), ("srun", SRUN)):
        (tools / name).write_text(textwrap.dedent(text).format(python=sys.executable))
        (tools / name).chmod(0o755)
    path = f"{tools}:{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    there = new_run(tmp_path, crawl, "there")
    ctx, _ = context(there, executor="slurm", shard_documents=6, workers=2, slurm_time="00:00:30")
    cleanse.run(ctx)
    assert hashes(there) == hashes(here)
    assert sha256_file(there / "cleanse" / "ledger.parquet") == hashes(here)["ledger.parquet"]
