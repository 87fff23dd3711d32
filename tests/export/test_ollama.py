"""The real client against a double of the server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from so8t_core.cli import main
from so8t_core.contract.config import save_settings
from so8t_core.contract.errors import (
    InputInvalid,
    InputMissing,
    ModelError,
    StoreError,
    Unreachable,
)
from so8t_core.contract.manifest import FileRecord, Manifest
from so8t_core.contract.publication import read_publication, write_publication
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.settings import Settings
from so8t_core.export.ollama import (
    THINKING,
    Publishing,
    Recipe,
    Step,
    base_url,
    checked_name,
    publish,
    quantisable,
)
from tests.evaluation.trial import stand_in
from tests.export.ollama_double import OllamaDouble, served

RECIPE = Recipe("gguf/m-Q8_0.gguf", "<|{{ .Role }}|>", "親切に。", ("<|end|>",), 2048)


@pytest.fixture
def double() -> Iterator[OllamaDouble]:
    with served(OllamaDouble()) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export = tmp_path / "run" / "export"
    (export / "gguf").mkdir(parents=True)
    (export / RECIPE.gguf).write_bytes(b"GGUF" + bytes(range(256)) * 400)
    (export / "gguf" / "m-F16.gguf").write_bytes(b"GGUF finer")
    RECIPE.write(export)
    return export


def manifest_of(folder: Path) -> Manifest:
    files = tuple(FileRecord.of(folder, path) for path in sorted(folder.rglob("*.gguf")))
    return stand_in("export").model_copy(update={"outputs": files})


def plan_of(folder: Path, host: str, **changed: Any) -> Publishing:
    said: list[Step] = []
    options = {"name": "so8t-ja", "host": host, "quantize": None, "tell": said.append}
    return Publishing(**{"folder": folder, "recipe": RECIPE, **options, **changed})


def test_the_file_goes_up_by_digest_before_the_model_is_created(folder: Path, double: OllamaDouble):
    said: list[Step] = []
    found = publish(plan_of(folder, double.url, tell=said.append), manifest_of(folder))
    assert double.calls == ["version", "blob", "create", "show", "chat"]
    assert double.complaints == []
    made = double.models["so8t-ja"]
    assert list(made["files"].values()) == [found.digest]
    assert double.blobs[found.digest] == (folder / RECIPE.gguf).stat().st_size
    assert made["template"] == RECIPE.template
    assert made["system"] == "親切に。"
    assert made["parameters"] == {"stop": ["<|end|>"], "num_ctx": 2048}
    assert "quantize" not in made
    assert found.answer == double.answer
    assert Step("writing manifest") in said
    assert Step("copying", 30, 40) in said


def test_ollama_quantises_the_finer_file_where_it_is_asked_to(folder: Path, double: OllamaDouble):
    manifest = manifest_of(folder)
    plan = plan_of(folder, double.url, recipe=quantisable(RECIPE, manifest), quantize="q4_K_M")
    publish(plan, manifest)
    assert double.models["so8t-ja"]["quantize"] == "q4_K_M"
    assert list(double.models["so8t-ja"]["files"]) == ["m-F16.gguf"]


def test_without_a_finer_file_quantising_is_refused(folder: Path):
    (folder / "gguf" / "m-F16.gguf").unlink()
    with pytest.raises(InputInvalid, match="only F32 and F16"):
        quantisable(RECIPE, manifest_of(folder))


def test_no_server_is_reported_with_the_commands_to_run_by_hand(folder: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable) as failure:
            publish(plan_of(folder, url), manifest_of(folder))
    assert "ollama serve" in str(failure.value)
    assert f"ollama create so8t-ja -f {folder / 'Modelfile'}" in str(failure.value)


@pytest.mark.parametrize("version", ["0.5.4", "0.1.48", "0.3.0-rc1"])
def test_an_old_server_is_told_before_anything_is_sent(
    folder: Path, double: OllamaDouble, version: str
):
    double.version = version
    with pytest.raises(InputInvalid, match=r"need 0\.5\.5") as failure:
        publish(plan_of(folder, double.url), manifest_of(folder))
    assert "ollama create" in str(failure.value)
    assert double.calls == ["version"]


@pytest.mark.parametrize("version", ["0.5.5", "1.0.0", "0.0.0"])
def test_new_servers_and_those_built_from_source_are_taken(
    folder: Path, double: OllamaDouble, version: str
):
    double.version = version
    assert publish(plan_of(folder, double.url), manifest_of(folder)).version == version


def test_something_else_at_that_address_is_no_server(folder: Path, double: OllamaDouble):
    double.version = "hello"
    with pytest.raises(InputInvalid, match="is version hello"):
        publish(plan_of(folder, double.url), manifest_of(folder))
    double.version, double.knows_show = "9.0.0", False
    with pytest.raises(InputInvalid, match="in a form that"):
        publish(plan_of(folder, double.url), manifest_of(folder))


@pytest.mark.parametrize("address", ["version", "create", "show", "chat"])
@pytest.mark.parametrize("said", ["null", "[1]", "[" * 100_000], ids=["null", "list", "deep"])
def test_json_of_another_form_is_no_server(
    folder: Path, double: OllamaDouble, address: str, said: str
):
    double.instead[address] = said + "\n"
    with pytest.raises(InputInvalid, match="in a form that") as failure:
        publish(plan_of(folder, double.url), manifest_of(folder))
    assert "ollama create so8t-ja" in str(failure.value)


@pytest.mark.parametrize("address", ["blobs", "create", "chat"])
def test_a_server_that_falls_silent_is_not_waited_for_without_end(
    folder: Path, double: OllamaDouble, address: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("so8t_core.export.ollama.SILENCE_S", 0.3)
    double.instead[address] = ""
    try:
        with pytest.raises(Unreachable, match="timed out"):
            publish(plan_of(folder, double.url), manifest_of(folder))
    finally:
        double.instead[address] = "{}"


def test_of_an_answer_that_thinks_nothing_is_shown(folder: Path, double: OllamaDouble):
    double.answer = "<think-task>CANARY-77"
    assert publish(plan_of(folder, double.url), manifest_of(folder)).answer == THINKING


def test_a_changed_file_is_never_sent(folder: Path, double: OllamaDouble):
    manifest = manifest_of(folder)
    (folder / RECIPE.gguf).write_bytes(b"something else")
    with pytest.raises(StoreError, match="not the one that export checked"):
        publish(plan_of(folder, double.url), manifest)
    assert "blob" not in double.calls


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"refuse_create": "no space\x1b[31m left"}, r"no space.* left"),
        ({"last_status": "verifying"}, "did not finish"),
        ({"changed_template": "{{ .Prompt }}"}, "another chat template"),
        ({"answer": " \n"}, "answered nothing"),
    ],
)
def test_what_goes_wrong_in_ollama_is_named(
    folder: Path, double: OllamaDouble, changed: dict[str, Any], message: str
):
    for name, value in changed.items():
        setattr(double, name, value)
    with pytest.raises(ModelError, match=message) as failure:
        publish(plan_of(folder, double.url), manifest_of(folder))
    assert "\x1b" not in str(failure.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost", "http://localhost:11434"),
        ("10.0.0.2:80", "http://10.0.0.2:80"),
        ("https://ollama.example", "https://ollama.example:11434"),
        ("http://[::1]:9", "http://[::1]:9"),
    ],
)
def test_hosts_are_read_as_ollamas_client_reads_them(given: str, url: str):
    assert base_url(given) == url


@pytest.mark.parametrize("given", ["ftp://x", "http://", "http://a:port", "http://a:99999"])
def test_other_hosts_are_refused(given: str):
    with pytest.raises(InputInvalid):
        base_url(given)


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "a:b:c", "模型"])
def test_names_that_ollama_does_not_take_are_refused(name: str):
    with pytest.raises(InputInvalid):
        checked_name(name)


def test_a_missing_and_a_damaged_recipe_are_named(tmp_path: Path):
    with pytest.raises(InputMissing, match="nothing for Ollama"):
        Recipe.read(tmp_path)
    (tmp_path / "ollama.json").write_text('{"gguf": 1}')
    with pytest.raises(StoreError, match="damaged"):
        Recipe.read(tmp_path)


def test_the_command_publishes_a_run(
    folder: Path, double: OllamaDouble, capsys: pytest.CaptureFixture[str]
):
    run = RunDir(folder.parent)
    save_settings(Settings(), run.settings_file)
    manifest = manifest_of(folder).model_copy(update={"run": run.name})
    manifest.write(folder)
    command = ["export", "ollama", "--run", str(run.root), "--host", double.url, "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["name"] == "so8t-ja"
    assert printed["answer"] == double.answer
    told = read_publication(run)
    assert told is not None
    assert (told.state, told.name, told.host) == ("done", "so8t-ja", double.url)
    assert told.step == double.answer
    assert main([*command, "--quantize", "q4_K_M"]) == 0
    assert double.models["so8t-ja"]["quantize"] == "q4_K_M"


def test_watchers_hear_of_every_step_and_of_the_failure(
    folder: Path, double: OllamaDouble, monkeypatch: pytest.MonkeyPatch
):
    run = RunDir(folder.parent)
    save_settings(Settings(), run.settings_file)
    manifest_of(folder).model_copy(update={"run": run.name}).write(folder)
    double.answer = " "
    told: list[tuple[str, str, int | None]] = []

    def write(run: RunDir, **said: Any) -> None:
        write_publication(run, **said)
        read = read_publication(run)
        assert read is not None
        told.append((read.state, read.step, read.total_bytes))

    monkeypatch.setattr("so8t_core.commands.ollama.write_publication", write)
    monkeypatch.setattr("so8t_core.commands.ollama._TOLD_EVERY_S", 0.0)
    assert main(["export", "ollama", "--run", str(run.root), "--host", double.url]) == 4
    assert [step for _, step, _ in told[2:]] == [
        *["copying"] * 4, *double.statuses, "success", "asking a first question",
        "The model is in Ollama but answered nothing.",
    ]  # fmt: skip
    assert {total for _, step, total in told if step == "copying"} == {40}
    assert [state for state, _, _ in told] == ["running"] * (len(told) - 1) + ["failed"]


def test_a_publication_whose_process_is_gone_was_cut_off(tmp_path: Path):
    run = RunDir(tmp_path)
    write_publication(run, name="m", host="h", state="running", step="copying")
    told = read_publication(run)
    assert told is not None
    assert told.state == "running"
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as gone:
        gone.wait()
    for changed, state in (
        ({"pid": gone.pid}, "cut off"),
        ({"boot_id": "another"}, "cut off"),
        ({"pid": gone.pid, "state": "done"}, "done"),
    ):
        run.publication.write_text(json.dumps(asdict(told) | changed))
        read = read_publication(run)
        assert read is not None
        assert read.state == state
    with pytest.raises(StoreError, match="cannot be told"):
        write_publication(
            RunDir(run.publication), name="m", host="h", state="running", step="copying"
        )
    run.publication.write_text("{}")
    with pytest.raises(StoreError, match="cannot be read"):
        read_publication(run)


def test_the_command_names_a_run_without_export(tmp_path: Path, capsys: Any):
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    save_settings(Settings(), run.settings_file)
    assert main(["export", "ollama", "--run", str(run.root)]) == 4
    assert "exported nothing yet" in capsys.readouterr().err
