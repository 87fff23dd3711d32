"""The server under load: `python benchmarks/serve.py [OUT.json] [--seconds 60] [--clients 64]`.

A server process with a tiny real model (it has learnt to think in four parts; each part holds a
canary) is asked by many clients at once over loopback: whole answers, streams, and callers who go
away. Measured are what came back, how long refusals took, whether the queue's limit held, whether
places came back, the server's memory, and whether the canary got out anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # for the tests' model

from so8t_core.serve.audit_keys import create_keys, load_keys  # noqa: E402
from so8t_core.serve.audit_verify import verify_log  # noqa: E402
from tests.serve.trained import CANARY, LEARNT, train_tiny  # noqa: E402

MAX_WAITING, MAX_BATCH = 16, 8


def _percentile(values: list[float], share: float) -> float | None:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else None


class Clients:
    """So many callers, each asking again as soon as it has an answer or was refused."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {"answered": [], "refused": []}
        self.ids: set[str] = set()
        self.leaks = 0
        self.wrong = 0

    async def run(self, count: int, seconds: float) -> None:
        """Ask until the time is over."""
        until = time.monotonic() + seconds
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            await asyncio.gather(*(self._ask(session, until) for _ in range(count)))

    async def _ask(self, session: aiohttp.ClientSession, until: float) -> None:
        while time.monotonic() < until:
            question = self.random.choice(list(LEARNT))
            messages = [{"role": "user", "content": question}]
            stream = self.random.random() < 0.3
            body = {"model": "so8t", "messages": messages, "temperature": 0, "stream": stream}
            asking = self._once(session, body, LEARNT[question])
            if self.random.random() < 0.1:
                try:
                    status = await asyncio.wait_for(asking, self.random.uniform(0.05, 2))
                except TimeoutError:
                    self.outcomes["left"] += 1
                    continue
            else:
                status = await asking
            if status != 200:
                await asyncio.sleep(self.random.uniform(0.05, 0.25))

    async def _once(self, session: aiohttp.ClientSession, body: dict[str, Any], answer: str) -> int:
        start = time.perf_counter()
        async with session.post(f"{self.url}/v1/chat/completions", json=body) as reply:
            data = await reply.read()
            took = time.perf_counter() - start
        self.leaks += CANARY.encode() in data + repr(reply.headers).encode()
        if reply.status == 200:
            self.outcomes["streamed" if body["stream"] else "answered"] += 1
            self.seconds["answered"].append(took)
            self.ids.update(re.findall(r"chatcmpl-([0-9a-f]{32})", data.decode()))
            self.wrong += answer != _said(data.decode(), stream=bool(body["stream"]))
        else:
            self.outcomes[str(json.loads(data)["error"]["code"])] += 1
            self.seconds["refused"].append(took)
        return reply.status


def _said(text: str, *, stream: bool) -> str:
    if not stream:
        return str(json.loads(text)["choices"][0]["message"]["content"])
    lines = [line for line in text.split("\n\n") if line and not line.endswith("[DONE]")]
    choices = [json.loads(line.removeprefix("data: "))["choices"] for line in lines]
    return "".join(c[0]["delta"].get("content", "") for c in choices if c)


async def _watch(url: str, process: psutil.Process, told: dict[str, list[float]]) -> None:
    """Read the server's gauge and memory twice a second."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(url) as reply:
                text = await reply.text()
            found = re.search(r"^so8t_requests_inside (\S+)", text, re.MULTILINE)
            told["inside"].append(float(found.group(1)) if found else 0.0)
            told["memory"].append(process.memory_info().rss / 1e6)
            told["metrics_leaks"].append(float(CANARY in text))
            await asyncio.sleep(0.5)


async def _load(
    url: str, metrics_url: str, pid: int, clients: int, seconds: float
) -> dict[str, Any]:
    told: dict[str, list[float]] = {"inside": [], "memory": [], "metrics_leaks": []}
    process = psutil.Process(pid)
    warm = Clients(url, seed=1)
    await warm.run(clients, 5)
    watching = asyncio.create_task(_watch(metrics_url, process, told))
    crowd = Clients(url, seed=2)
    await crowd.run(clients, seconds)
    for _ in range(100):
        if told["inside"] and told["inside"][-1] == 0:
            break
        await asyncio.sleep(0.2)
    watching.cancel()
    memory = told["memory"]
    half = len(memory) // 2
    return {
        "outcomes": dict(crowd.outcomes),
        "wrong_answers": crowd.wrong,
        "answered_p50_s": _percentile(crowd.seconds["answered"], 0.5),
        "answered_p99_s": _percentile(crowd.seconds["answered"], 0.99),
        "refused_p50_ms": 1e3 * (_percentile(crowd.seconds["refused"], 0.5) or 0),
        "refused_p99_ms": 1e3 * (_percentile(crowd.seconds["refused"], 0.99) or 0),
        "most_inside": max(told["inside"]),
        "limit_inside": MAX_WAITING + MAX_BATCH,
        "inside_afterwards": told["inside"][-1],
        "memory_first_half_mb": max(memory[:half]),
        "memory_second_half_mb": max(memory[half:]),
        "leaks_in_replies": crowd.leaks + warm.leaks,
        "leaks_in_metrics": sum(told["metrics_leaks"]),
        "ids": sorted(crowd.ids | warm.ids),
    }


def _serve_and_load(folder: Path, clients: int, seconds: float) -> dict[str, Any]:
    model = train_tiny(folder / "model")
    create_keys(folder / "keys" / "audit.json")
    settings = {
        "port": 0, "metrics_port": 0, "instructions": "null", "threads": 1, "device": "cpu",
        "audit.folder": folder / "log", "audit.keys_file": folder / "keys" / "audit.json",
        "audit.head_file": folder / "head" / "audit.head", "limits.burst": 10**9,
        "limits.requests_per_minute": 10**9, "limits.max_waiting": MAX_WAITING,
        "limits.max_batch": MAX_BATCH, "release_every_s": 0,
    }  # fmt: skip
    words = [
        word for name, value in settings.items() for word in ("--set", f"serve.{name}={value}")
    ]
    log = folder / "server.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "so8t_core.cli", "serve", "--model-path", str(model), *words],
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            metrics_url = process.stdout.readline().split()[-1]
            gc.collect()
            gc.freeze()  # the callers' own pauses are not the server's
            figures = asyncio.run(_load(url, metrics_url, process.pid, clients, seconds))
            process.send_signal(signal.SIGTERM)
            figures["exit_code"] = process.wait(60)
        finally:
            process.kill()
            process.wait()
    ids = set(figures.pop("ids"))
    return {
        **figures,
        **_audited(folder, ids),
        "leaks_in_log": log.read_text().count(CANARY),
    }


def _audited(folder: Path, ids: set[str]) -> dict[str, Any]:
    keys = load_keys(folder / "keys" / "audit.json")
    result = verify_log(
        folder / "log", folder / "head" / "audit.head", keys.public, secret=keys.secret
    )
    text = "".join(path.read_text() for path in sorted((folder / "log").glob("*.jsonl")))
    records = [json.loads(line) for line in text.splitlines()]
    return {
        "audit_intact": result.fault is None,
        "audit_records": result.records,
        "audit_outcomes": dict(Counter(r["outcome"] for r in records if r["kind"] == "request")),
        "answers_without_record": len(ids - {r["id"] for r in records if r["kind"] == "request"}),
        "leaks_in_audit": text.count(CANARY),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="so8t-serve-") as name:
        figures = _serve_and_load(Path(name), arguments.clients, arguments.seconds)
    figures["clients"], figures["seconds"] = arguments.clients, arguments.seconds
    text = json.dumps(figures, indent=2, ensure_ascii=False)
    print(text)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
