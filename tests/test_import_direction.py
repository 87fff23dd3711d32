"""Imports point one way: tui -> contract; engine -> phases -> parts -> contract."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = {
    "crawl", "cleanse", "demo", "model", "training", "evaluation", "export", "reporting", "serve",
}  # fmt: skip
ALLOWED_ROOMS = {
    "contract": {"contract"},
    "phases": {"phases", "contract", *PARTS},
    "engine": {"engine", "phases", "contract"},
    "commands": {"commands", "engine", "phases", "contract", *PARTS},
    "cli": {"commands", "contract"},
    **{part: {part, "contract"} for part in PARTS},
}
BETWEEN_PARTS = {
    ("crawl", "demo"),  # the demo's site is one of the crawl's sources
    ("training", "model"),  # what is trained,
    ("evaluation", "model"),  # judged,
    ("evaluation", "training"),  # with prompts in the form that was trained,
    ("export", "model"),  # and folded is the model
    ("serve", "model"),  # that is served,
    ("serve", "cleanse"),  # what is asked judged by the rules by which its data was
}
PHASE_TYPES = "so8t_core.phases.base"  # parts may know the emitter and the pause gate, no more
HEAVY = {"torch", "transformers", "datasets", "aiohttp", "peft", "bitsandbytes", "pyarrow", "numpy"}


def imports_of(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in tree.body if top_level_only else ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.name.startswith(("modeling_", "gate")), path
            if node.level == 0 and node.module is not None:
                yield node.module


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", modules("so8t_core"), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_core_module_imports_only_what_lies_below_it(path: Path):
    room = path.relative_to(ROOT / "so8t_core").parts[0].removesuffix(".py")
    for name in imports_of(path):
        if name.split(".")[0] == "so8t_tui":
            assert room == "commands", f"{path} imports the interface"
        if not name.startswith("so8t_core."):
            continue
        target = room_of(name)
        fine = (
            target in ALLOWED_ROOMS.get(room, {target})
            or (room, target) in BETWEEN_PARTS
            or name == PHASE_TYPES
        )
        assert fine, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", modules("so8t_core/phases"), ids=lambda p: p.name)
def test_no_phase_imports_another(path: Path):
    for name in imports_of(path):
        if name.startswith("so8t_core.phases"):
            assert name == PHASE_TYPES, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", modules("so8t_tui"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_interface_imports_the_contract_alone(path: Path):
    for name in imports_of(path):
        assert not name.startswith("so8t_core.") or room_of(name) == "contract", (path, name)
        assert name.split(".")[0] not in HEAVY, (path, name)


@pytest.mark.parametrize(
    "path",
    [*modules("so8t_core/contract"), *modules("so8t_core/commands"), ROOT / "so8t_core/cli.py"],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_nothing_heavy_is_imported_at_the_top_of_light_modules(path: Path):
    for name in imports_of(path, top_level_only=True):
        assert name.split(".")[0] not in HEAVY, (path, name)


@pytest.mark.parametrize("module", ["so8t_tui.app", "so8t_core.cli", "so8t_core.engine.runner"])
def test_importing_it_loads_neither_torch_nor_the_network(module: str):
    code = (
        f"import sys, {module}; "
        "print(sorted({'torch', 'transformers', 'aiohttp', 'datasets'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"
