"""The form that starts a run: checked while it is typed, and only what is valid can be started."""

from collections.abc import Sequence
from pathlib import Path

from textual.widgets import Input

from so8t_core.contract.errors import StoreError
from so8t_core.contract.rundir import RunDir
from so8t_tui.app import ControlCenter

from .glass import center, on_screen, opened, sees, until
from .stage import make_run

EVIL = "[red]x[/red] \x1b]0;owned\x07 \u202eabc " + "長" * 1000


class Starter:
    """Stands for the program around the interface; keeps what it was asked to start."""

    def __init__(self, root: Path, *configs: Path) -> None:
        self.root = root
        self.known = list(configs)
        self.wanted: list[tuple[Path, tuple[str, ...]]] = []
        self.started: list[RunDir] = []

    def new_run(self, file: Path, changes: Sequence[str]) -> RunDir:
        self.wanted.append((file, tuple(changes)))
        return make_run(self.root, "crawl")

    def center(self) -> ControlCenter:
        return center(
            None,
            self.root,
            new_run=self.new_run,
            start_engine=self.started.append,
            configs=lambda: self.known,
        )


def config(folder: Path, name: str = "mine", text: str = "") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\n{text}", encoding="utf-8")
    return path


async def test_what_is_typed_is_checked_and_enter_starts_it(tmp_path: Path) -> None:
    file = config(tmp_path)
    stage = Starter(tmp_path / "runs", file)
    async with opened(stage.center(), (100, 30)) as pilot:
        await pilot.press("n")
        await sees(pilot, "Start a run", "✓ Valid: mine", "Enter or Ctrl+S starts it.")
        pilot.app.screen.query_one("#changes").focus()
        await pilot.press(*"train.max_stepz=3")
        await sees(pilot, "✗", "max_stepz")
        await pilot.press("enter")
        assert stage.wanted == []
        await pilot.press(*["backspace"] * 3, *"s=3")
        await sees(pilot, "✓ Valid: mine")
        await pilot.press("enter")
        await sees(pilot, "demo-crawl", "▹ starting")
    assert stage.wanted == [(file, ("train.max_steps=3",))]
    assert [run.name for run in stage.started] == ["demo-crawl"]


async def test_known_files_are_offered_and_escape_starts_nothing(tmp_path: Path) -> None:
    stage = Starter(tmp_path / "runs", config(tmp_path, "one"), config(tmp_path, "two"))
    async with opened(stage.center(), (100, 30)) as pilot:
        await pilot.press("n")
        await sees(pilot, "✓ Valid: one", "two.y")  # long paths wrap
        await pilot.press("down", "down", "enter")
        await sees(pilot, "✓ Valid: two")
        await pilot.press("escape")
        await sees(pilot, "No run here yet.")
    assert stage.wanted == []


async def test_a_file_that_is_edited_while_the_form_is_open_is_read_again(tmp_path: Path) -> None:
    """What was valid when it was typed is asked again at the start, not believed."""
    file = config(tmp_path)
    stage = Starter(tmp_path / "runs", file)
    async with opened(stage.center(), (100, 30)) as pilot:
        await pilot.press("n")
        await sees(pilot, "✓ Valid: mine")
        file.write_text("name: mine\nunknown_key: 3\n")
        await pilot.press("enter")
        await sees(pilot, "✗", "unknown_key")
        assert stage.wanted == []
        file.unlink()
        await pilot.press("enter")
        await sees(pilot, "✗", "mine.yaml")
        config(tmp_path)
        await pilot.press("enter")
        await until(pilot, lambda: stage.wanted == [(file, ())], "the start")


async def test_a_run_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    stage = Starter(tmp_path / "runs", config(tmp_path))

    def refuse(_file: Path, _changes: Sequence[str]) -> RunDir:
        raise StoreError("The run directory cannot be made.", hint="Free some space.")

    stage.new_run = refuse  # type: ignore[method-assign]
    async with opened(stage.center(), (100, 30)) as pilot:
        await pilot.press("n")
        await sees(pilot, "✓ Valid: mine")
        await pilot.press("enter")
        await sees(pilot, "The run directory cannot be made.", "Free some space.")
        assert stage.started == []


async def test_what_is_no_settings_file_is_a_reason_in_the_form(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00name" * 50)
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("name: [\n")
    stage = Starter(tmp_path / "runs")
    async with opened(stage.center(), (100, 30)) as pilot:
        await pilot.press("n")
        for name in ("none.yaml", "bytes.yaml", "list.yaml", "broken.yaml", "."):
            pilot.app.screen.query_one("#file", Input).value = str(tmp_path / name)
            await sees(pilot, "…")
            await sees(pilot, "✗")
        await pilot.press("enter")
    assert stage.wanted == []


async def test_hostile_text_in_the_form_stays_in_its_place(tmp_path: Path) -> None:
    """From file names, from what is pasted, and from what a wrong file is answered with."""
    wrong = tmp_path / "[b]evil\x1b[2J.yaml"
    wrong.write_text(f"name: {EVIL!r}\n{EVIL!r}: 1\n", encoding="utf-8")
    stage = Starter(tmp_path / "runs", wrong)
    async with opened(stage.center(), (100, 30)) as pilot:
        await pilot.press("n")
        await sees(pilot, "✗", "[b]evil")
        pilot.app.screen.query_one("#changes", Input).value = f"name={EVIL} {'x' * 1_000_000}"
        await sees(pilot, "…")
        await sees(pilot, "✗")
        text = on_screen(pilot.app)
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert "Start a run" in text
    assert stage.wanted == []
