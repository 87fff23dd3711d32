"""Pictures of the terminal interface on a run, as SVG files.

    python benchmarks/interface_pictures.py RUN_DIR OUT_DIR --tabs overview train --size 120x40

The interface runs without a terminal, attaches to the run as a second watcher, and draws itself.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from so8t_core.contract.rundir import RunDir
from so8t_tui.app import ControlCenter
from so8t_tui.locale import Words

TABS = ("overview", "crawl", "cleanse", "model", "train", "evaluate", "report", "log")
SETTLE_S = 2.0


async def draw(
    run: RunDir, out: Path, tabs: list[str], size: tuple[int, int], language: str
) -> None:
    """Open the interface on the run and save one picture a tab."""
    out.mkdir(parents=True, exist_ok=True)
    app = ControlCenter(run.root.parent, run, words=Words(language))
    async with app.run_test(size=size) as pilot:
        for tab in tabs:
            await pilot.press(str(TABS.index(tab) + 1))
            await pilot.pause(SETTLE_S)
            path = out / f"{tab}-{language}-{size[0]}x{size[1]}.svg"
            picture = app.export_screenshot(title=f"so8t — {run.name}")
            # without this some viewers drop the spaces that columns are aligned with
            picture = picture.replace("<text ", '<text xml:space="preserve" ')
            path.write_text(picture, encoding="utf-8")
            print(path)


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tabs", nargs="+", choices=TABS, default=["overview", "train", "report"])
    parser.add_argument("--size", default="120x40", help="columns x rows")
    parser.add_argument("--language", choices=("en", "ja"), default="en")
    arguments = parser.parse_args()
    columns, rows = map(int, arguments.size.split("x"))
    run = RunDir(arguments.run.absolute())
    asyncio.run(draw(run, arguments.out, arguments.tabs, (columns, rows), arguments.language))


if __name__ == "__main__":
    main()
