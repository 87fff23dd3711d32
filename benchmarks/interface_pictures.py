"""Pictures of the terminal interface on a run, as SVG files.

    python benchmarks/interface_pictures.py RUN_DIR OUT_DIR --tabs overview train --size 120x40

The interface runs without a terminal, attaches to the run as a second watcher, and draws itself.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import re
from pathlib import Path

from rich.cells import cell_len

from so8t_core.contract.rundir import RunDir
from so8t_tui.app import ControlCenter
from so8t_tui.locale import Words

TABS = ("overview", "crawl", "cleanse", "model", "train", "evaluate", "report", "log")
SETTLE_S = 2.0
_SPACE = "\xa0"
_STRETCH = re.compile(r"[\x20-\u2fff]+|[^\x20-\u2fff]+")
_TEXT = re.compile(
    r'<text class="([^"]+)" x="([\d.]+)" (y="[\d.]+") textLength="([\d.]+)"([^>]*)>([^<]+)</text>'
)


def placed_by_cell(picture: str) -> str:
    """The picture with each stretch of narrow or of wide characters at its own place.

    Rich writes a line's piece as one text, and a length that counts its characters instead of its
    cells: whatever is wide is squeezed, and columns are ragged.
    """

    def apart(found: re.Match[str]) -> str:
        shape, place, height, squeezed, rest, text = found.groups()
        written = html.unescape(text)
        width, pieces, at = float(squeezed) / len(written), [], 0
        for stretch in _STRETCH.findall(written):
            own = cell_len(stretch)
            if not stretch.isspace():
                told = html.escape(stretch).replace(_SPACE, "&#160;")
                x, length = float(place) + at * width, own * width
                pieces.append(
                    f'<text xml:space="preserve" class="{shape}" x="{x:.1f}" {height} '
                    f'textLength="{length:.1f}"{rest}>{told}</text>'
                )
            at += own
        return "".join(pieces)

    return _TEXT.sub(apart, picture)


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
            path.write_text(placed_by_cell(picture), encoding="utf-8")
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
