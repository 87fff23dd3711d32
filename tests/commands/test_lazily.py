"""Commands are loaded when they are run, and each of them is there."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from so8t_core.cli import build_parser


def actions(parser: argparse.ArgumentParser) -> Iterator[Callable[..., int]]:
    found = parser.get_default("action")
    if found is not None:
        yield found
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from actions(inner)


@pytest.mark.parametrize(
    "name",
    sorted({a.__qualname__ for a in actions(build_parser()) if a.__qualname__.count(".") == 1}),
)
def test_every_command_that_is_loaded_late_is_there(name: str) -> None:
    module, command = name.split(".")
    assert callable(getattr(importlib.import_module(f"so8t_core.commands.{module}"), command))


def test_the_interface_starts_without_settings_and_their_libraries() -> None:
    code = "import sys, so8t_core.cli, so8t_tui.app; print({'pydantic', 'yaml'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
