"""The interface elsewhere: only the user's own browser, only the host that was named."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from so8t_core.cli import main
from so8t_core.commands.elsewhere import attach_command, interface_command
from so8t_core.commands.webserver import interface_server
from so8t_core.contract.errors import UsageError
from so8t_core.contract.runs import DEFAULT_RUNS_DIR


def asked(**more: object) -> Namespace:
    told = {"command": "so8t", "ssh": "ssh", "read_only": False, "runs_dir": DEFAULT_RUNS_DIR}
    return Namespace(**{**told, **more})


def test_attaching_opens_the_interface_over_there_in_this_terminal() -> None:
    command = attach_command("me@box:demo-1", asked())
    assert command == ["ssh", "-t", "--", "me@box", "so8t --run demo-1"]


def test_what_is_typed_reaches_the_other_shell_as_words() -> None:
    place = "me@box:a run; rm -rf $HOME"
    assert attach_command(place, asked())[-1] == "so8t --run 'a run; rm -rf $HOME'"
    far = asked(
        command="/opt/venv/bin/so8t", ssh="ssh -p 2222", read_only=True, runs_dir=Path("/x y")
    )
    assert attach_command("box", far) == [
        *("ssh", "-p", "2222", "-t", "--", "box"),
        "/opt/venv/bin/so8t --runs-dir '/x y' --read-only",
    ]


@pytest.mark.parametrize("place", ["", ":run", "-oProxyCommand=x", "a b:run"])
def test_a_place_without_a_host_is_refused(place: str) -> None:
    with pytest.raises(UsageError, match="names no host"):
        attach_command(place, asked())


def test_the_browser_gets_the_same_command(tmp_path: Path) -> None:
    words = interface_command(asked(run=None, runs_dir=tmp_path, read_only=True))
    assert words[1:] == ["-m", "so8t_core.cli", "--runs-dir", str(tmp_path), "--read-only"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://{place}"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example:80"}, 403),
    ],
    ids=["plain", "own page", "other page", "no page", "other name"],
)
async def test_pages_of_other_sites_cannot_reach_the_interface(
    headers: dict[str, str], status: int
) -> None:
    places: set[str] = set()
    server = interface_server("true", "127.0.0.1", 1, places)
    async with TestClient(TestServer(await server._make_app())) as client:
        place = f"127.0.0.1:{client.port}"
        places.add(place)
        sent = {name: value.format(place=place) for name, value in headers.items()}
        answer = await client.get("/", headers=sent)
        assert answer.status == status


def test_the_notification_is_tried_and_each_part_says_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = tmp_path / "noted"
    code = f"import os; open({str(noted)!r}, 'w').write(os.environ['SO8T_OUTCOME'])"
    hook = f'notify.on_complete=["{sys.executable}", "-c", "{code}"]'
    file = tmp_path / "s.yaml"
    file.write_text("name: x\nnotify: {sound: false, desktop: false}\n")
    assert main(["notify", "test", "-c", str(file), "--set", hook, "--failed"]) == 0
    told = capsys.readouterr().out
    for part in ("Sound: switched off", "Desktop: switched off", "on_complete: ", "Webhook: none"):
        assert part in told
    assert noted.read_text() == "failed"


def test_a_taken_port_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--runs-dir", str(tmp_path), "web", "--port", str(port)]) == 2
    assert "is taken" in capsys.readouterr().err
