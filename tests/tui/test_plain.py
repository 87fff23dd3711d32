"""Plain progress says once what is worth a line, and ends when the engine is gone."""

import io
from pathlib import Path

from so8t_core.contract.journal import JournalReader
from so8t_core.contract.rundir import RunDir
from so8t_core.contract.state import RunState, fold
from so8t_tui.locale import Words
from so8t_tui.plain import PROGRESS_EVERY_S, Narrator, follow, wants_colour

from .stage import Play, make_run


def told(run: RunDir, words: Words | None = None, *, colour: bool = False) -> list[str]:
    narrator, state, lines = Narrator(words, colour=colour), RunState(), []
    with JournalReader(run.journal) as reader:
        for event in reader.after(0, 100_000):
            state = fold(state, event)
            lines += narrator.tell(event, state)
    return lines


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_phase_is_told_once_as_it_starts_and_ends(tmp_path: Path) -> None:
    lines = told(make_run(tmp_path, "finished"))
    for phase, seconds in (("crawl", "19.2"), ("cleanse", "12.0"), ("train", "168.0")):
        mine = [line[9:] for line in lines if line[9:].startswith(f"{phase} ")]
        assert sum("▸ running" in line for line in mine) == 1
        assert sum(f"✓ done {seconds} s" in line for line in mine) == 1
    assert sum("checkpoint at step" in line for line in lines) == 4
    assert "✓ done 3:51" in lines[-2]


def test_progress_comes_at_most_every_two_seconds_and_names_the_loss(tmp_path: Path) -> None:
    lines = [line for line in told(make_run(tmp_path, "finished")) if " steps " in line]
    times = [
        sum(int(part) * 60**n for n, part in enumerate(line[:8].split(":")[::-1])) for line in lines
    ]
    gaps = [(b - a) % 86_400 for a, b in zip(times, times[1:], strict=False)]
    assert min(gaps) >= int(PROGRESS_EVERY_S) - 1
    assert all("loss 2" in line for line in lines[-10:])
    assert all("eval_loss" in line for line in lines[-10:])


def test_a_failure_tells_what_where_and_what_next(tmp_path: Path) -> None:
    text = "\n".join(told(make_run(tmp_path, "failed")))
    assert "✗ failed 3.0 s: The GPU's memory is full." in text
    assert "where: train.micro_batch_size = 4" in text
    assert "next: Halve train.micro_batch_size" in text


def test_lines_carry_colour_only_where_asked(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    assert "\x1b" not in "\n".join(told(run))
    assert "\x1b[32m✓ done\x1b[0m" in "\n".join(told(run, colour=True))
    assert not wants_colour(io.StringIO(), {"TERM": "xterm"})
    assert wants_colour(Terminal(), {"TERM": "xterm"})
    assert not wants_colour(Terminal(), {"TERM": "dumb"})
    assert not wants_colour(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"})


def test_lines_speak_japanese_too(tmp_path: Path) -> None:
    text = "\n".join(told(make_run(tmp_path, "finished"), Words("ja")))
    assert "✓ 完了" in text
    assert "チェックポイント" in text


def test_hostile_text_stays_on_its_line(tmp_path: Path) -> None:
    run = make_run(tmp_path, "crawl")
    play = Play()
    play.log("crawl", "error", "a\nb\x1b[2Jc\x07")
    play.write(run)
    assert told(run)[-1].endswith("error: a b[2Jc")


def test_following_ends_when_the_engine_is_gone_and_all_is_read(tmp_path: Path) -> None:
    run = make_run(tmp_path, "train")
    answers = iter((True, False, False))
    out = io.StringIO()

    def alive() -> bool:
        answer = next(answers)
        if not answer and "engine ended" not in out.getvalue():
            play = Play()
            play.tell("run_finished", outcome="done", message="")
            play.tell("engine_stopped", exit_code=0, reason="done")
            play.write(run)
        return answer

    assert follow(run, out, engine_alive=alive) == "done"
    assert out.getvalue().splitlines()[-1].endswith("engine ended: done")


def test_following_a_dead_run_says_that_it_crashed(tmp_path: Path) -> None:
    out = io.StringIO()
    assert follow(make_run(tmp_path, "crawl"), out, patience_s=0) == "crashed"


def test_following_from_now_on_keeps_silent_about_the_past(tmp_path: Path) -> None:
    out = io.StringIO()
    assert follow(make_run(tmp_path, "finished"), out, after_seq=-1, patience_s=0) == "done"
    assert out.getvalue() == ""
