"""`so8t serve` and `so8t audit` as a person runs them: real processes, ports, signals, keys."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import psutil
import pytest

from so8t_core.cli import main
from so8t_core.commands.serving import _with_model
from so8t_core.contract.config import load_settings
from so8t_core.contract.files import sha256_file
from so8t_core.contract.manifest import Manifest, utc_now
from so8t_core.contract.rundir import RunDir
from so8t_core.serve.audit_keys import create_keys
from tests.serve.audits import audit_settings, entry, open_log, verify, write
from tests.serve.trained import CANARY, LEARNT

QUESTION, ANSWER = next(iter(LEARNT.items()))


def options(folder: Path, **settings: Any) -> list[str]:
    """`--set` words for a server whose files lie in the folder."""
    values: dict[str, Any] = {
        "port": 0,
        "metrics_port": 0,
        "instructions": "null",
        "release_every_s": 0,
        "threads": 1,
        "device": "cpu",
        "audit.folder": folder / "log",
        "audit.keys_file": folder / "keys" / "audit.json",
        "audit.head_file": folder / "head" / "audit.head",
        "limits.burst": 10_000,
        **settings,
    }
    return [word for name, value in values.items() for word in ("--set", f"serve.{name}={value}")]


class Running:
    """A server process; `url` once it has said where it is."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        assert process.stderr is not None
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read, args=(process.stderr,), daemon=True)
        self._reader.start()
        first = process.stdout.readline()
        assert "is served on" in first, (first, self.errors)
        self.url = first.split()[-1]
        self.metrics_url = process.stdout.readline().split()[-1]

    def _read(self, stream: IO[str]) -> None:
        self.errors.extend(stream)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(5)
        return code


def serving(*words: object) -> list[str]:
    return ["so8t_core.cli", "serve", *map(str, words)]


@contextmanager
def running(words: list[str]) -> Iterator[Running]:
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.long
def test_openais_own_client_works_with_the_command(thinker: Path, tmp_path: Path):
    openai = pytest.importorskip("openai", reason="a development dependency")
    folder = tmp_path / "serve"
    create_keys(folder / "keys" / "audit.json")
    keys = ["--set", f"serve.keys_file={folder / 'bearer.json'}"]
    made = subprocess.run(
        [sys.executable, "-m", "so8t_core.cli", "serve", "--new-key", "alice", *keys],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    token = made.stdout.strip()
    words = serving("--debug", "--model-path", thinker, *options(folder), *keys)
    with running(words) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0)
        with client:
            messages = [{"role": "user", "content": QUESTION}]
            assert [model.id for model in client.models.list()] == ["so8t"]
            whole = client.chat.completions.create(model="so8t", messages=messages, temperature=0)
            assert whole.choices[0].message.content == ANSWER
            assert whole.choices[0].finish_reason == "stop"
            assert whole.usage is not None
            assert whole.usage.completion_tokens > 0
            stream = client.chat.completions.create(
                model="so8t", messages=messages, temperature=0, stream=True,
                stream_options={"include_usage": True}, max_completion_tokens=400,
            )  # fmt: skip
            chunks = list(stream)
            said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            assert said == ANSWER
            assert chunks[-1].usage == whole.usage
            with pytest.raises(openai.BadRequestError) as refused:
                client.chat.completions.create(model="so8t", messages=messages, stop=["x"])
            assert refused.value.code == "unknown_field"
            with pytest.raises(openai.AuthenticationError):
                client.with_options(api_key="wrong").models.list()
        assert server.end() == 0
        told = "".join(server.errors)
    assert "settled" in told
    for name, text in {"log": told, **files_of(folder)}.items():
        assert CANARY not in text, name
        assert ANSWER not in text, name
        assert token not in text, name
    assert verify(audit_settings(folder)).fault is None
    assert main(["audit", "verify", *options(folder)]) == 0


def files_of(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: path.read_bytes().decode(errors="replace") for path in files}


def test_a_gguf_file_is_served_like_a_folder(gguf_thinker: Path, tmp_path: Path):
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is optional")
    create_keys(tmp_path / "keys" / "audit.json")
    digest = sha256_file(gguf_thinker)
    words = serving("--model-path", gguf_thinker, *options(tmp_path, model_sha256=digest))

    async def ask(url: str) -> Any:
        body = {"user_id": "u", "query": QUESTION, "temperature": 0}
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"{url}/think", json=body) as reply,
        ):
            return await reply.json()

    with running(words) as server:
        assert asyncio.run(ask(server.url))["answer"] == ANSWER
        assert server.end() == 0
    assert verify(audit_settings(tmp_path)).fault is None


class Load:
    """Clients that ask again and again until the server is gone; keeps the ids that came back."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.received: list[str] = []

    async def run(self, clients: int, enough: int, then: Any) -> None:
        async with aiohttp.ClientSession() as session:
            tasks = [asyncio.create_task(self._ask(session)) for _ in range(clients)]
            async with asyncio.timeout(60):
                while len(self.received) < enough:
                    await asyncio.sleep(0.005)
            then()
            await asyncio.gather(*tasks)

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        body = {"user_id": "u", "query": QUESTION}
        while True:
            try:
                async with session.post(f"{self._url}/think", json=body) as reply:
                    answer = await reply.json()
            except (aiohttp.ClientError, ConnectionError):
                return
            if reply.status == 200:
                self.received.append(answer["id"])


def test_after_a_kill_under_load_every_answer_that_was_received_has_its_record(tmp_path: Path):
    words = ["tests.serve.scripted", str(tmp_path)]
    settings = audit_settings(tmp_path)
    received: list[str] = []
    for enough in (1, 40, 300):
        with running(words) as server:
            load = Load(server.url)
            asyncio.run(load.run(16, enough, server.process.kill))
            assert server.process.wait() == -signal.SIGKILL
        received += load.received
        assert verify(settings).fault is None or "cut off" in verify(settings).fault.problem
    open_log(settings).close()
    assert verify(settings).fault is None
    text = "".join(path.read_text() for path in (tmp_path / "log").glob("*.jsonl"))
    recorded = {json.loads(line).get("id") for line in text.splitlines()}
    assert len(received) >= 341
    assert set(received) <= recorded


def test_with_a_full_disk_there_is_no_answer_until_there_is_room(tmp_path: Path):
    """The limit of a file's size stands for the disk: the kernel refuses in the middle of a record."""
    log = tmp_path / "log" / "audit-000001.jsonl"

    async def ask(url: str) -> tuple[int, str]:
        body = {"user_id": "u", "query": QUESTION}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/think", json=body) as reply,
        ):
            return reply.status, await reply.text()

    with running(["tests.serve.scripted", str(tmp_path)]) as server:
        process = psutil.Process(server.process.pid)
        assert asyncio.run(ask(server.url))[0] == 200
        size = log.stat().st_size
        _, most = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (size + 100, most))
        for _ in range(3):
            status, text = asyncio.run(ask(server.url))
            assert (status, json.loads(text)["error"]["code"]) == (503, "audit_unavailable")
        assert log.stat().st_size == size
        process.rlimit(psutil.RLIMIT_FSIZE, (most, most))
        assert asyncio.run(ask(server.url))[0] == 200
        assert server.end() == 0
    state = verify(audit_settings(tmp_path))
    assert (state.fault, state.records) == (None, 4)


class TestBadStarts:
    """Each is named, without a traceback, and leaves nothing half-written."""

    def start(self, capsys: pytest.CaptureFixture[str], *words: str) -> str:
        code = main(["serve", *words])
        assert code in (2, 4)
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
        assert "next:" in shown
        return shown

    def test_without_audit_keys(self, thinker: Path, tmp_path: Path, capsys):
        shown = self.start(capsys, "--model-path", str(thinker), *options(tmp_path))
        assert "There are no audit keys" in shown
        assert list(tmp_path.iterdir()) == []

    def test_with_audit_keys_that_others_may_read(self, thinker: Path, tmp_path: Path, capsys):
        path = tmp_path / "keys" / "audit.json"
        create_keys(path)
        path.chmod(0o644)
        shown = self.start(capsys, "--model-path", str(thinker), *options(tmp_path))
        assert "Others than their owner have access to the audit keys" in shown
        assert not (tmp_path / "log").exists()

    def test_without_a_model(self, tmp_path: Path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        create_keys(tmp_path / "keys" / "audit.json")
        assert "There is no run yet" in self.start(capsys, *options(tmp_path))
        shown = self.start(capsys, "--model-path", str(tmp_path / "none"), *options(tmp_path))
        assert "config.json" in shown

    def test_of_a_run_without_export(self, tmp_path: Path, capsys):
        from so8t_core.contract.config import load_settings
        from so8t_core.contract.runs import create_run

        create_keys(tmp_path / "keys" / "audit.json")
        run = create_run(tmp_path / "runs", load_settings(None, ["name=trial"]))
        words = [run.name, "--runs-dir", str(tmp_path / "runs"), *options(tmp_path)]
        assert "exported nothing yet" in self.start(capsys, *words)

    def test_beyond_loopback_without_keys(self, thinker: Path, tmp_path: Path, capsys):
        words = options(tmp_path, host="0.0.0.0")
        assert "needs keys_file" in self.start(capsys, "--model-path", str(thinker), *words)

    def test_with_the_keys_inside_the_log(self, tmp_path: Path, capsys):
        words = options(tmp_path, **{"audit.keys_file": tmp_path / "log" / "k.json"})
        assert "outside of the log's folder" in self.start(capsys, *words)


class TestAuditCommands:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        assert main(["audit", "init", *options(tmp_path)]) == 0
        log = open_log(audit_settings(tmp_path))
        write(log, [entry(number) for number in range(5)])
        log.close()
        return tmp_path

    def test_verify_says_that_all_is_well(self, folder: Path, capsys):
        capsys.readouterr()
        assert main(["audit", "verify", *options(folder)]) == 0
        first, note = capsys.readouterr().out.splitlines()
        assert first == "ok  7 records, 2 signatures, newest record 7"
        noted = note.split()[-1]
        assert main(["audit", "verify", "--expect-at-least", noted, *options(folder)]) == 0
        assert main(["audit", "verify", "--expect-at-least", "8", *options(folder)]) == 4
        assert main(["audit", "verify", "--expect-at-least", "eight", *options(folder)]) == 2
        capsys.readouterr()
        public = ["--public-key", str(folder / "keys" / "audit.pub")]
        assert main(["audit", "verify", "--json", *public, *options(folder)]) == 0
        assert json.loads(capsys.readouterr().out)["intact"] is True

    def test_verify_says_what_it_cannot_know(self, folder: Path, tmp_path_factory, capsys):
        empty = tmp_path_factory.mktemp("empty")
        assert main(["audit", "init", *options(empty)]) == 0
        capsys.readouterr()
        assert main(["audit", "verify", *options(empty)]) == 4
        shown = capsys.readouterr().out
        assert shown.startswith("??  0 records")
        assert "whether there ever was one cannot be known" in shown

    def test_verify_names_the_first_bad_record(self, folder: Path, capsys):
        path = folder / "log" / "audit-000001.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines[:3], *lines[4:]]))
        capsys.readouterr()
        assert main(["audit", "verify", *options(folder)]) == 4
        assert "NO  record 4 (audit-000001.jsonl, line 4)" in capsys.readouterr().out
        assert main(["audit", "verify", "--json", *options(folder)]) == 4
        assert json.loads(capsys.readouterr().out)["fault"]["seq"] == 4

    def test_show_prints_the_newest_records(self, folder: Path, capsys):
        capsys.readouterr()
        assert main(["audit", "show", "--last", "3", *options(folder)]) == 0
        rows = capsys.readouterr().out.splitlines()
        assert [row.split()[0] for row in rows] == ["5", "6", "7"]
        assert "answered" in rows[0]
        assert main(["audit", "show", "--id", f"{2:032x}", "--json", *options(folder)]) == 0
        assert json.loads(capsys.readouterr().out)["seq"] == 4

    def test_rotate_begins_a_new_file(self, folder: Path, capsys):
        assert main(["audit", "rotate", *options(folder)]) == 0
        assert "audit-000002.jsonl" in capsys.readouterr().out
        assert main(["audit", "verify", *options(folder)]) == 0

    def test_init_makes_keys_once(self, folder: Path, capsys):
        assert main(["audit", "init", *options(folder)]) == 4
        assert "already" in capsys.readouterr().err


def test_a_running_server_rotates_its_log_when_told(tmp_path: Path):
    with running(["tests.serve.scripted", str(tmp_path)]) as server:
        assert main(["audit", "rotate", *options(tmp_path)]) == 0
        assert server.process.poll() is None
        assert server.end(signal.SIGINT) == 0
    assert len(list((tmp_path / "log").glob("*.jsonl"))) == 2
    assert verify(audit_settings(tmp_path)).fault is None


@pytest.mark.parametrize(
    ("samples", "words", "told"),
    [(3, (), False), (0, (), True), (3, ("--set", "serve.instructions=Answer."), True)],
)
def test_a_run_that_learnt_to_think_is_told_nothing_before_a_question(
    tmp_path: Path, samples: int, words: tuple[str, ...], told: bool
) -> None:
    run = RunDir(tmp_path / "run")
    (run.phase("export") / "folded").mkdir(parents=True)
    run.settings_file.write_text("")
    for phase, figures in (
        ("export", {}),
        ("train", {"sources": {"thinking": {"samples": samples}, "corpus": {"samples": 9}}}),
    ):
        run.phase(phase).mkdir(exist_ok=True)
        _manifest(phase, figures).write(run.phase(phase))
    settings = load_settings(None, words[1:], section="serve").serve
    arguments = Namespace(run=str(run.root), runs_dir=tmp_path, model_path=None, gguf=None)
    chosen = _with_model(settings, arguments)
    assert chosen.model == run.phase("export") / "folded"
    assert chosen.instructions == (settings.instructions if told else None)


def _manifest(phase: Any, figures: dict[str, Any]) -> Manifest:
    return Manifest(
        phase=phase,
        run="trial",
        settings_sha256="0" * 64,
        inputs={},
        digest="0",
        outputs=(),
        figures=figures,
        attempt=1,
        started_at=utc_now(),
        finished_at=utc_now(),
        active_s=0.0,
    )
