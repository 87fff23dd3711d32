"""Palette, help, remapped keys, themes, preferences: what users are used to."""

import re
from pathlib import Path

import pytest

from so8t_core.contract.errors import SettingsError
from so8t_tui.app import ControlCenter
from so8t_tui.keymap import all_bindings, keymap_page
from so8t_tui.palette import CONTRAST, THEME_LABELS
from so8t_tui.preferences import (
    Preferences,
    keep_preferences,
    preferences_file,
    read_preferences,
)
from so8t_tui.remapping import is_key, remapping

from .glass import center, on_screen, opened, sees, until
from .stage import make_run

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any settings."""
    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SO8T_LANG", "en")
    return folder / "so8t" / "interface.toml"


async def test_the_palette_finds_what_keys_do_and_does_it(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    async with opened(center(run), (100, 40)) as pilot:
        await sees(pilot, "✓ done")
        await pilot.press("ctrl+p")
        await sees(pilot, "Detach", "7          Report")
        assert "Focus Next" not in on_screen(pilot.app)
        await pilot.press(*"evaluate")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await sees(pilot, "format ok")


async def test_a_remapped_key_works_and_is_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    app = center(run, preferences=Preferences(keys={"run.detach": "ctrl+d"}))
    async with opened(app, (100, 24)) as pilot:
        await sees(pilot, "^d Detach")
        await pilot.press("d")
        assert app.return_value is None
        await pilot.press("ctrl+d")
    assert app.return_value is not None


def messages(app: ControlCenter) -> list[str]:
    """What is told beside the screen at the moment."""
    return [told.message for told in app._notifications]


async def test_keys_that_cannot_be_used_are_said_with_their_lines_and_the_others_work(
    tmp_path: Path, home: Path
) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("# mine\n[keys]\n'run.detatch' = 'ctrl+d'\n'tab.log' = 'spcae'\nx = ''\n")
    home.write_text(home.read_text() + "'app.help' = 'f9'\n'run.stop' = 'd'\n")
    app = ControlCenter(tmp_path, make_run(tmp_path / "runs", "finished"))
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "These keys are not changed: run.detatch")
        text = "\n".join(messages(app))  # on the screen a path is cut anywhere
        told = ("run.detach?", "`spcae` is no key; space?", f"{home}, lines 3, 4, 5, 7")
        assert [wanted for wanted in told if wanted not in text] == []
        await pilot.press("f9")
        await sees(pilot, "Next theme")
    assert "'run.detatch' = 'ctrl+d'" in home.read_text()


@pytest.mark.parametrize(
    ("key", "known"),
    [
        *((key, True) for key in ("a", "A", "é", "/", "日", "space", "f12", "ctrl+a", "pageup")),
        *((key, True) for key in ("ctrl+shift+left", "question_mark", "minus", "alt+x", "slash")),
        *((key, False) for key in ("", " ", "spcae", "ctrl+", "+a", "cmd+x", "f99", "ctrl-a")),
        *((key, False) for key in ("\x1b", "<any>", "ctrl+space bar", "zero_width_joiner")),
    ],
    ids=ascii,
)
def test_keys_are_known_by_their_names(key: str, known: bool) -> None:
    assert is_key(key) is known


def test_every_key_of_ours_is_one() -> None:
    assert all(is_key(key) for _, binding in all_bindings() for key in binding.key.split(","))


def test_a_key_is_given_to_one_thing_in_one_place() -> None:
    found = remapping({"run.detach": "q", "tab.log": "ctrl+l", "chart.enlarge": "q"})
    assert found.wrong == {"run.detach": "`q` is the key of run.quit there"}
    assert dict(found.keys) == {"tab.log": "ctrl+l", "chart.enlarge": "q"}
    swapped = {"run.detach": "q", "run.quit": "d"}
    assert remapping(swapped).wrong == {}
    assert dict(remapping(swapped).keys) == swapped


async def test_moving_pause_leaves_resume_where_it_was(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    app = center(run, preferences=Preferences(keys={"run.pause": "f5"}))
    async with opened(app, (100, 24)) as pilot:
        await sees(pilot, "✘ crashed", "space Resume")


async def test_themes_are_chosen_by_key_and_kept(tmp_path: Path, home: Path) -> None:
    app = ControlCenter(tmp_path, make_run(tmp_path / "runs", "finished"))
    async with opened(app, (100, 30)) as pilot:
        await sees(pilot, "✓ done", "Ctrl+P finds every command")
        for _ in range(3):
            await pilot.press("T")
            await pilot.pause(0.1)
        assert app.theme == CONTRAST.name
    assert read_preferences(home).theme == CONTRAST.name
    assert read_preferences(home).hint_seen
    again = ControlCenter(tmp_path, make_run(tmp_path / "more", "finished"))
    async with opened(again, (100, 30)) as pilot:
        await sees(pilot, "✓ done")
        assert again.theme == CONTRAST.name
        assert "Ctrl+P finds every command" not in on_screen(again)


async def test_a_wrong_preferences_file_is_said_and_left_alone(tmp_path: Path, home: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("colour = 'red'\n")
    app = ControlCenter(tmp_path, make_run(tmp_path / "runs", "finished"))
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "The interface's settings are not used")
        await pilot.press("T")
    assert home.read_text() == "colour = 'red'\n"


@pytest.mark.parametrize(
    "text",
    [
        "theme = 3",
        "keys = 'x'",
        "[keys]\n'run.pause' = 1",
        "= broken",
        "hint_seen = 'yes'",
        "a = 1",
    ],
    ids=["theme", "keys", "key", "toml", "truth", "unknown"],
)
def test_preferences_of_another_form_are_refused_with_their_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "interface.toml"
    path.write_text(f"# a comment\n\n{text}\n")
    with pytest.raises(SettingsError, match="are not used") as raised:
        read_preferences(path)
    line = 4 if "[keys]" in text else 3
    assert f"line {line}" in f"{raised.value.where} {raised.value.what}"


def test_preferences_are_kept_beside_what_else_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "interface.toml"
    assert read_preferences(path) == Preferences()
    keep_preferences(path, {"theme": "so8t-light", "hint_seen": True})
    assert read_preferences(path) == Preferences(theme="so8t-light", hint_seen=True)
    path.write_text(path.read_text() + '# my keys\n[keys]\n"run.pause" = "f5"\n')
    keep_preferences(path, {"theme": "so8t", "language": "ja"})
    assert read_preferences(path) == Preferences("ja", "so8t", False, True, {"run.pause": "f5"})
    assert "# my keys" in path.read_text()
    path.write_text("[keys]\nrun.pause = 'f5'\ntheme = 'x'\n")
    keep_preferences(path, {"theme": "so8t"})
    assert read_preferences(path) == Preferences(
        theme="so8t", keys={"run.pause": "f5", "theme": "x"}
    )


async def test_an_edit_of_the_file_while_the_interface_is_open_stays(
    tmp_path: Path, home: Path
) -> None:
    app = ControlCenter(tmp_path, make_run(tmp_path / "runs", "finished"))
    async with opened(app, (100, 30)) as pilot:
        await sees(pilot, "✓ done")
        home.write_text('hint_seen = true\n[keys]\n"run.pause" = "f5"\n')
        await pilot.press("T")
        await until(pilot, lambda: read_preferences(home).theme != "")
        assert read_preferences(home).keys == {"run.pause": "f5"}
        home.write_text("theme = \n")
        await pilot.press("T")
        await sees(pilot, "The interface's settings are not used")
        assert any(str(home) in text for text in messages(app))
    assert home.read_text() == "theme = \n"


def test_the_file_lies_in_the_users_configuration_folder() -> None:
    assert preferences_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/so8t/interface.toml")
    assert preferences_file({}) == Path.home() / ".config" / "so8t" / "interface.toml"


def test_every_binding_can_be_named_and_names_are_used_once() -> None:
    ids = [binding.id for _, binding in all_bindings()]
    assert all(ids)
    assert len(ids) == len(set(ids))


def test_space_is_no_priority_binding() -> None:
    assert not any(binding.priority for _, binding in all_bindings())


def test_the_keymap_page_is_made_from_the_bindings() -> None:
    assert (DOCS / "keymap.md").read_text(encoding="utf-8") == keymap_page()


async def test_copying_writes_osc_52_and_a_file(tmp_path: Path, home: Path) -> None:
    run = make_run(tmp_path / "runs", "finished")
    app = center(run)
    async with opened(app, (120, 30)) as pilot:
        await sees(pilot, "✓ done")
        await pilot.press("y")
        await sees(pilot, "Copied the run's path.")
        assert app.clipboard == str(run.root)
    assert (tmp_path / "state" / "so8t" / "copied.txt").read_text() == str(run.root)


async def test_without_colour_states_and_tabs_are_still_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = center(make_run(tmp_path, "failed"))
    async with opened(app, (100, 30)) as pilot:
        await sees(pilot, "✗ failed", "✓ crawl", "◦ evaluate")
        strips = app.screen._compositor.render_strips()
        colours = {
            s.style.color.name for strip in strips for s in strip if s.style and s.style.color
        }
        grey = re.compile(r"#(..)\1\1|default|black|white|bright_.*")
        assert all(grey.fullmatch(colour) for colour in colours)


@pytest.mark.parametrize("size", [(10, 5), (1, 1), (300, 100)], ids=str)
async def test_any_size_is_survived_and_left_again(tmp_path: Path, size: tuple[int, int]) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app, (80, 24)) as pilot:
        await sees(pilot, "✓ done")
        for key in ("1", "2", "5", "7"):
            await pilot.press(key)
            await pilot.resize_terminal(*size)
            await pilot.pause(0.05)
            await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "✓ done" in on_screen(app))


def test_every_theme_has_a_name() -> None:
    assert len(set(THEME_LABELS.values())) == len(THEME_LABELS)


@pytest.mark.parametrize("key", ["c", "ctrl+p"], ids=["dialog", "palette"])
async def test_a_second_click_or_key_while_something_closes_is_nothing(
    tmp_path: Path, key: str
) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app, (100, 30)) as pilot:
        await sees(pilot, "✓ done")
        await pilot.press(key)
        await until(pilot, lambda: app.screen.is_modal)
        above = app.screen
        above.dismiss(None)
        above.dismiss(None)
        await until(pilot, lambda: not app.screen.is_modal)
        await sees(pilot, "✓ done")


async def test_typing_into_a_palette_that_closes_is_nothing(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app, (100, 30)) as pilot:
        await sees(pilot, "✓ done")
        await pilot.press("ctrl+p")
        await sees(pilot, "Find a command")
        palette = app.screen
        palette.dismiss(None)
        palette._gather_commands("n")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.pause(0.2)
        await sees(pilot, "✓ done")
