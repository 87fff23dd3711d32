"""Putting the model into Ollama is seen in the interface while it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from so8t_core.contract.publication import write_publication
from so8t_tui.locale import Words

from .glass import center, on_screen, opened, sees
from .stage import make_run


async def test_each_step_is_seen_on_the_overview_and_beside_the_export(tmp_path: Path) -> None:
    run = make_run(tmp_path, "finished")
    app = center(run)
    told = {"name": "so8t-ja", "host": "http://127.0.0.1:11434"}
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "Done in 3:51")
        assert "Ollama" not in on_screen(app)
        write_publication(
            run, **told, state="running", step="copying", done_bytes=30, total_bytes=40
        )
        await sees(pilot, "▸ Ollama running 75 % / 40 B: copying")
        await pilot.press("4")
        await sees(pilot, "▸ running", "75 % / 40 B", "copying")
        gone = run.publication.read_text().replace('"boot_id": "', '"boot_id": "earlier')
        run.publication.write_text(gone)
        await sees(pilot, "! cut off")
        write_publication(run, **told, state="failed", step="Ollama \x1b[31mrefuses")
        await sees(pilot, "✗ failed")
        assert "\x1b" not in on_screen(app)
        write_publication(run, **told, state="done", step="こんにちは。")
        await sees(pilot, "✓ done", "こんにちは。")


@pytest.mark.parametrize("damage", ["{}", "", "\x00"])
async def test_a_damaged_file_is_a_problem_with_a_way_out(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path, "finished")
    run.publication.write_text(damage)
    app = center(run, words=Words("en"))
    async with opened(app, (120, 40)) as pilot:
        await sees(pilot, "putting the model into Ollama cannot be read", "Remove the file")
        run.publication.unlink()
        await sees(pilot, "Done in 3:51")
