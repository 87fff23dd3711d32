"""Two runs side by side, and one run's curves over another's."""

from pathlib import Path

from so8t_core.contract.rundir import RunDir

from .glass import center, on_screen, opened, sees, until
from .stage import Play, make_run, play_to

EVIL = "[red]x[/red] [@click=app.quit]y[/] \x1b[2J\x1b]0;t\x07 \u202eabc\u2066 " + "長" * 100_000
FORBIDDEN = {"\x1b", "\x07", "\x9b", "\u202e", "\u2066"}


def other_run(root: Path, name: str = "other") -> RunDir:
    """A finished run with more pages than the stage's own."""
    play = play_to("finished")
    play.done("crawl", 19.2, pages=60, bytes=888_000, hosts=3)
    return play.write(RunDir(root / name))


async def test_figures_of_two_runs_stand_side_by_side_those_that_differ_first(
    tmp_path: Path,
) -> None:
    other_run(tmp_path)
    make_run(tmp_path, "finished")
    app = center(None, tmp_path)
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "demo-finished", "c Compare")
        await pilot.press("c")
        await sees(pilot, "Compare demo-finished with")
        await pilot.press("enter")
        await sees(pilot, "demo-finished  ↔  other", "crawl · pages", "+25.0%")
        lines = on_screen(app).splitlines()
        place = next(n for n, line in enumerate(lines) if "crawl · pages" in line)
        same = next(n for n, line in enumerate(lines) if "crawl · hosts" in line)
        assert lines[place].split()[-3:] == ["48", "60", "+25.0%"]
        assert place < same
        assert "train demo-finished" in on_screen(app)
        assert "train other" in on_screen(app)
        await pilot.press("escape")
        await sees(pilot, "Runs in")


async def test_a_run_that_cannot_be_read_is_a_message_and_one_can_go_back(tmp_path: Path) -> None:
    make_run(tmp_path, "finished")
    broken = make_run(tmp_path, "failed")
    app = center(None, tmp_path)
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "demo-finished", "demo-failed")
        await pilot.press("c")
        await sees(pilot, "with")
        broken.journal.write_bytes(b"this was a journal" * 500)
        await pilot.press("enter")
        await sees(pilot, "The journal cannot be read")
        await pilot.press("escape")
        await sees(pilot, "Runs in")


async def test_one_run_alone_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    app = center(run)
    async with opened(app, (120, 40)) as pilot:
        await pilot.press("5", "o")
        await sees(pilot, "There is no other run in this folder.")


async def test_another_runs_curves_are_laid_over_and_taken_off(tmp_path: Path) -> None:
    other_run(tmp_path)
    app = center(make_run(tmp_path, "train"))
    async with opened(app, (160, 40)) as pilot:
        await pilot.press("5")
        await sees(pilot, "Gradient norm", "o Overlay")
        await pilot.press("o")
        await sees(pilot, "Lay which run over this one?")
        await pilot.press("enter")
        await sees(pilot, "over it: other")
        await pilot.press("enter")
        await sees(pilot, "train other")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "over it" not in on_screen(app))
        assert "train other" not in on_screen(app)


async def test_hostile_figures_and_names_change_nothing_but_their_own_cell(tmp_path: Path) -> None:
    for name in ("plain", "[red]evil"):
        play = Play()
        play.created()
        play.begin("crawl")
        play.done("crawl", 1.0, **{EVIL: EVIL, "nested": {EVIL: {EVIL: name}}, "[b]": 3})
        play.begin("train")
        play.tell("metrics", "train", points=[[EVIL, 1, 2.0], ["loss", 1, 2.0], ["loss", 2, 1.0]])
        play.write(RunDir(tmp_path / name))
    app = center(None, tmp_path)
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "[red]evil", "c Compare")
        await pilot.press("c", "enter")
        await sees(pilot, "↔", "[red]evil", "crawl · [b]", "[red]x[/red] [@click=app.quit]")
        assert not FORBIDDEN & set(on_screen(app))
        assert all(len(line) <= 120 for line in on_screen(app).splitlines())


async def test_hostile_samples_checkpoints_and_hosts_change_nothing_but_their_own_cell(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path, "train")
    play = Play()
    for text in (EVIL, f"{EVIL} → {EVIL}", "→", " → ", ""):
        play.tell("item", "train", item="sample", text=text, step=75)
    play.tell("item", "train", item="sample", text=f"[b]q[/b] → {EVIL}", step=EVIL)
    play.tell("checkpoint", "train", step=75, path=EVIL, reason=EVIL, size_bytes=1)
    play.tell("stats", "train", values={EVIL: EVIL, "checkpoint_stall_s": "\x1b[2J"})
    play.tell("stats", "crawl", values={"hosts": {EVIL: EVIL, "[b]h[/b]": {EVIL: 1}}})
    play.until_now()
    play.write(run)
    app = center(run)
    async with opened(app, (160, 60)) as pilot:
        await pilot.press("5")
        await sees(pilot, "[b]q[/b]", "→ [red]x[/red]", "75", "5 Train")
        assert not FORBIDDEN & set(on_screen(app))
        await pilot.press("2")
        await sees(pilot, "[b]h[/b]", "[red]x[/red] [@click=app.quit]", "2 Crawl")
        assert not FORBIDDEN & set(on_screen(app))
        assert app.return_value is None
