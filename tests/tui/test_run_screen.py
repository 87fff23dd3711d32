"""A run's screen shows what its journal says, at any size, in any state."""

from pathlib import Path

import pytest

from so8t_core.contract.phases import PHASE_NAMES
from so8t_core.contract.rundir import RunDir
from so8t_tui.locale import Words
from so8t_tui.tabs import TABS

from .glass import center, on_screen, opened, sees, wanted
from .stage import Play, living_engine, make_run, with_report

SIZES = [((60, 20), "ja"), ((120, 40), "en"), ((200, 60), "ja"), ((20, 6), "en")]


async def test_a_running_run_shows_all_phases_rate_and_time_left(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run) as pid:
        app = center(run)
        async with opened(app) as pilot:
            await sees(pilot, "▸ running", f"engine {pid}", "74/120 steps", "1:04 left", "62%")
            text = on_screen(app)
            assert all(name in text for name in PHASE_NAMES)


@pytest.mark.parametrize(("size", "language"), SIZES)
async def test_every_tab_opens_at_every_size(
    tmp_path: Path, size: tuple[int, int], language: str
) -> None:
    run = make_run(tmp_path, "finished", gpu=True)
    app = center(run, words=Words(language))  # type: ignore[arg-type]
    async with opened(app, size) as pilot:
        for key in "123456789":
            await pilot.press(key)
        await pilot.pause()
        assert app.return_code is None


async def test_the_tabs_show_what_the_phases_told(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    app = center(run)
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "Done in 3:51", "no GPU")
        await pilot.press("2")
        await sees(pilot, "robots.txt", "waits 4.0 s: HTTP 503", "2xx", "888.0 kB")
        await pilot.press("3")
        await sees(pilot, "near duplicate", "ESCALATION", "phone", "instruction pairs")
        await pilot.press("4")
        await sees(pilot, "logits equal", "60,480", "Rotation angle, mean")
        await pilot.press("5")
        await sees(pilot, "120 / 120", "41.3 MB", "Learning rate", "eval 2.189")
        await pilot.press("6")
        await sees(
            pilot, "bits per byte  1.412  1.187", "format ok      62.0%  94.0%", "八ツ橋です"
        )
        await pilot.press("8")
        await sees(pilot, "answers 503", "13 of 13 lines")


async def test_keys_h_and_l_walk_through_the_tabs(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app) as pilot:
        await pilot.press("h", "h")
        await sees(pilot, "13 of 13 lines")
        await pilot.press("l", "l", "l")
        await sees(pilot, "Newest pages")


async def test_a_finished_run_offers_its_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    app = center(run)
    async with opened(app) as pilot:
        await pilot.press("7")
        await sees(pilot, "SO8T run report", "bits per byte", "日本語の説明もここに。")
        await pilot.press("o")
        await sees(pilot, "report.md")


async def test_a_report_cannot_smuggle_escapes_in_and_links_are_only_named(tmp_path: Path) -> None:
    run = with_report(
        make_run(tmp_path, "finished"),
        "# Hi\x1b]0;owned\x07 \u202ethere\n\n[x](https://e.example/)\n",
    )
    visited: list[str] = []
    app = center(run)
    app.open_url = lambda url, **_: visited.append(url)  # type: ignore[method-assign]
    async with opened(app) as pilot:
        await pilot.press("7")
        await sees(pilot, "there")
        assert "\x1b" not in on_screen(app)
        assert "\u202e" not in on_screen(app)
        await pilot.click("Markdown", offset=(1, 4))
        await pilot.pause()
        assert visited == []


async def test_a_missing_report_is_said_not_raised(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    (run.phase("report") / "report.md").unlink()
    app = center(run)
    async with opened(app) as pilot:
        await pilot.press("7")
        await sees(pilot, "The report cannot be read")


async def test_empty_panels_say_what_will_appear(tmp_path: Path) -> None:
    play = Play()
    play.created()
    run = play.write(RunDir(tmp_path / "fresh"))
    app = center(run)
    async with opened(app) as pilot:
        await sees(pilot, "has not been started", "Messages of the phases appear here.")
        await pilot.press("5")
        await sees(pilot, "Drawn from the first step on.")
        await pilot.press("7")
        await sees(pilot, "The report appears when all phases are done.")


@pytest.mark.parametrize(
    ("moment", "texts"),
    [
        (
            "crawl",
            ("✘ crashed", "The engine is gone", "press r to resume", "! crawl", "cut off"),
        ),
        ("failed", ("✗ failed", "The GPU's memory is full.", "Halve train.micro_batch_size")),
        ("finished", ("✓ done", "no engine")),
    ],
)
async def test_a_run_without_engine_says_how_it_stands(
    tmp_path: Path, moment: str, texts: tuple[str, ...]
) -> None:
    app = center(make_run(tmp_path, moment))
    async with opened(app) as pilot:
        await sees(pilot, *texts)


async def test_a_paused_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = make_run(tmp_path, "paused")
    with living_engine(run):
        app = center(run)
        async with opened(app) as pilot:
            await sees(pilot, "ǁ paused", "Press space to go on", "space Resume")


async def test_new_events_reach_the_screen(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    with living_engine(run):
        app = center(run)
        async with opened(app) as pilot:
            await sees(pilot, "28/48 pages")
            play = Play()
            play.tell("progress", "crawl", done=41, total=48, unit="pages", message="")
            play.log("crawl", "error", "something happened")
            play.until_now()
            play.write(run)
            await sees(pilot, "41/48 pages", "something happened")


async def test_the_end_of_a_watched_run_rings_and_notifies(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    told: list[str] = []

    def notification(_run: RunDir, message: str) -> str:
        told.append(message)
        return ""

    with living_engine(run):
        app = center(run, terminal_notification=notification)
        async with opened(app) as pilot:
            await sees(pilot, "74/120")
            play = Play()
            play.tell("run_finished", outcome="done", message="")
            play.write(run)
            await sees(pilot, "demo-train is done.")
            assert told == ["demo-train is done."]


async def test_a_milestone_that_was_wished_for_is_told_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    told: list[str] = []
    with living_engine(run):
        app = center(run, terminal_notification=lambda _, m: told.append(m) or "")
        async with opened(app) as pilot:
            await sees(pilot, "28/48 pages")
            play = Play()
            play.done("crawl", 9.0, pages=48)
            play.tell("milestone", "crawl")
            play.write(run)
            await sees(pilot, "demo-crawl: crawl is done.")
            await pilot.pause(0.4)
            assert told == ["demo-crawl: crawl is done."]


async def test_attaching_to_a_finished_run_does_not_announce_it_again(tmp_path: Path) -> None:
    told: list[str] = []
    app = center(
        make_run(tmp_path, "finished"), terminal_notification=lambda _, m: told.append(m) or ""
    )
    async with opened(app) as pilot:
        await sees(pilot, "✓ done")
        await pilot.pause(0.3)
        assert told == []


async def test_the_log_is_filtered_by_text_and_level(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "failed"))
    async with opened(app) as pilot:
        await pilot.press("8")
        await sees(pilot, "crawl begins", "CUDA out of memory")
        await pilot.press("slash", *"verify")
        await sees(pilot, "1 of 7 lines", "with “verify”")
        assert "crawl begins" not in on_screen(app)
        await pilot.press("escape", "v", "v")
        await sees(pilot, "level error and above")
        assert "answers 503" not in on_screen(app)
        assert "CUDA out of memory" in on_screen(app)


async def test_space_types_a_space_while_a_filter_is_typed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    with living_engine(run):
        app = center(run)
        async with opened(app) as pilot:
            await pilot.press("8", "slash", *"train", "space", *"begins")
            await sees(pilot, "with “train begins”")
            assert wanted(run).revision == 0


async def test_the_language_switches_live_and_keeps_the_tab(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app) as pilot:
        await pilot.press("5")
        await sees(pilot, "Gradient norm")
        await pilot.press("L")
        await sees(pilot, "勾配ノルム", "完了")
        await pilot.press("L")
        await sees(pilot, "Gradient norm")


async def test_help_lists_the_keys_that_work_here_and_all_states(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app, (100, 60)) as pilot:
        await sees(pilot, "✓ done")
        await pilot.press("question_mark")
        await sees(pilot, "Keys", "Detach", *TABS, "↻ retrying", "✘ crashed")
        await pilot.press("escape")
        assert "↻ retrying" not in on_screen(app)


async def test_uncertain_comparisons_show_both_sides_and_the_interval(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    play = Play()
    figures = {
        "documents": {
            "items": 8,
            "bits_per_byte": {
                "base": {"value": 5.25, "interval": [5.0, 5.5]},
                "tuned": {"value": 4.75, "interval": [4.5, 5.0]},
                "difference": {"value": -0.5, "interval": [-0.6, -0.4]},
            },
        }
    }
    play.tell(
        "item", "evaluate", item="sample", text="名物は？", base="わかりません", tuned="八ツ橋です"
    )
    play.done("evaluate", 3, **figures)
    play.write(run)
    app = center(run)
    async with opened(app, (100, 40)) as pilot:
        await pilot.press("6")
        await sees(pilot, "documents · bits per byte  5.25   4.75        -0.5  [-0.6, -0.4]")
        await sees(pilot, "documents · items  8", "base: わかりません", "tuned: 八ツ橋です")


async def test_named_checks_show_whether_they_passed(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    play = Play()
    checks = [
        {"name": "identity_logits", "value": 0.0, "passed": True},
        {"name": "norm", "value": 0.5, "passed": False},
    ]
    play.done("verify", 3, checks=checks, base_digest="8a5135ecb3107f44eb7998422d8c54ff2ae9f683")
    play.write(run)
    app = center(run)
    async with opened(app, (120, 40)) as pilot:
        await pilot.press("4")
        await sees(pilot, "identity logits  ✓ 0", "✗ 0.5", "8a5135ecb310…")


async def test_samples_of_training_show_step_question_and_wrapped_answer(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app, (140, 60)) as pilot:
        await pilot.press("5")
        await sees(pilot, "step 120  What is the capital of", "→ The capital of France")
        lines = [line for line in on_screen(app).splitlines() if "八ツ橋" in line]
        assert len(lines) >= 2, "a long answer takes more than a line"
        await sees(pilot, "checkpoint stall", "0.02 s")


async def test_details_take_the_keyboard_and_give_it_back(tmp_path: Path) -> None:
    app = center(make_run(tmp_path, "finished"))
    async with opened(app) as pilot:
        await pilot.press("5")
        await sees(pilot, "Gradient norm")
        await pilot.press("i")
        await sees(pilot, "best step")
        for _ in range(14):
            await pilot.press("j")
        await sees(pilot, "step 120  What is the capital of France?")
        await pilot.press("i")
        await sees(pilot, "Gradient norm")
        await pilot.press("i")
        await sees(pilot, "step 120  What is the capital of France?")
        await pilot.press("escape")
        await sees(pilot, "Gradient norm")
