"""Every wish says what it does first; what destroys work needs a letter; read-only changes nothing."""

from pathlib import Path

import pytest

from so8t_core.contract.errors import SettingsError
from so8t_core.contract.live import LIVE
from so8t_tui.preferences import Preferences

from .glass import center, on_screen, opened, sees, until, wanted
from .stage import living_engine, make_run

DELAY = next(setting for setting in LIVE if setting.name == "crawl.delay_s")


async def choose(pilot, label: str) -> None:
    """Move down the open list to a label and take it."""
    for _ in range(40):
        options = pilot.app.screen.query_one("OptionList")
        option = options.get_option_at_index(options.highlighted)
        if label in str(option.prompt):
            await pilot.press("enter")
            return
        await pilot.press("j")
    raise AssertionError(f"{label} is not offered:\n{on_screen(pilot.app)}")


async def test_the_control_list_says_what_each_wish_does(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run), (100, 50)) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("c")
            await sees(
                pilot,
                "The phase holds at its next safe moment",
                "Retry crawl  asks for a letter",
                "If its result changes, these run again too: cleanse, train, evaluate,",
            )
            assert wanted(run).revision == 0


async def test_a_retry_of_what_is_done_needs_the_letter(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run), (100, 50)) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("c")
            await choose(pilot, "Retry cleanse")
            await pilot.press("enter", "enter", "space")
            await sees(pilot, "Its present result is thrown away.")
            assert wanted(run).retry == {}
            await pilot.press("y")
            await sees(pilot, "Asked for: Retry cleanse.")
            assert wanted(run).retry == {"cleanse": 1}


async def test_a_phase_is_skipped_by_letter_alone(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    async with opened(center(run), (100, 50)) as pilot:
        await sees(pilot, "✘ crashed")
        await pilot.press("c")
        await choose(pilot, "Skip evaluate")
        await pilot.press("n")
        assert wanted(run).skip == {}
        await pilot.press("c")
        await choose(pilot, "Skip evaluate")
        await pilot.press("y")
        await sees(pilot, "Noted: Skip evaluate.")
        assert wanted(run).skip == {"evaluate": 1}


async def test_a_live_setting_is_checked_as_it_is_typed_and_then_wanted(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    with living_engine(run):
        async with opened(center(run), (100, 40)) as pilot:
            await sees(pilot, "▸ running")
            await pilot.press("c")
            await choose(pilot, "Change crawl.delay_s")
            await pilot.press(*"fast")
            await sees(pilot, "`fast` is no number")
            await pilot.press("enter")
            assert wanted(run).live == {}
            await pilot.press(*["backspace"] * 4, *"2.5")
            await sees(pilot, "Enter takes it.")
            await pilot.press("enter")
            await until(pilot, lambda: wanted(run).live == {"crawl.delay_s": 2.5})


async def test_training_is_told_when_to_save_and_to_evaluate(tmp_path: Path) -> None:
    """An extra evaluation is offered from the next step on; half a step is none."""
    run = make_run(tmp_path, "train")
    with living_engine(run):
        async with opened(center(run), (100, 60)) as pilot:
            await sees(pilot, "▸ running", "74/120")
            await pilot.press("c")
            await choose(pilot, "Change train.save_every_steps")
            await pilot.press(*"2.5")
            await sees(pilot, "must be a", "whole number.")
            await pilot.press("enter", *["backspace"] * 3, *"25")
            await sees(pilot, "Enter takes it.")
            await pilot.press("enter")
            await until(pilot, lambda: wanted(run).live == {"train.save_every_steps": 25})
            await pilot.press("c")
            await choose(pilot, "Change train.evaluate_from_step")
            await sees(pilot, "The held-out loss is measured once more", "75")
            await pilot.press("enter")
            await until(pilot, lambda: wanted(run).live.get("train.evaluate_from_step") == 75)
            await sees(pilot, "Asked for: train.evaluate_from_step = 75.")


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1", "1e9"])
def test_numbers_out_of_range_are_refused_with_a_reason(text: str) -> None:
    with pytest.raises(SettingsError, match=r"crawl\.delay_s was not changed"):
        DELAY.read(text)


async def test_read_only_offers_no_key_that_changes_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        app = center(run, read_only=True)
        async with opened(app, (120, 40)) as pilot:
            await sees(pilot, "read-only", "▸ running")
            assert not {"Pause", "Stop", "Control", "Resume"} & set(
                on_screen(app).splitlines()[-1].split()
            )
            await pilot.press("space", "P", "s", "y", "c", "r")
            assert wanted(run).revision == 0
            await pilot.press("q")
        assert app.return_value is not None
        assert app.return_value.reason == "closed"


async def test_read_only_comes_from_the_users_file_too(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "crawl"), preferences=Preferences(read_only=True))
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "read-only")
