"""An asciicast as one moving SVG picture, for pages that play no recordings.

    python benchmarks/recording_picture.py docs/images/session.cast docs/images/session.svg

pyte keeps the screen; a frame is taken once a second where anything changed. Lines that frames have
in common are drawn once; style sheet animation shows one frame after another.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

CELL_WIDTH, CELL_HEIGHT, FONT_SIZE = 8, 17, 13
FOREGROUND, BACKGROUND = "dfe6ee", "10151c"
FRAME_S = 1.0
LAST_FRAME_S = 3.0


def colour(name: str, otherwise: str) -> str:
    """A colour as the picture names it; only true colours are used by the interface."""
    return f"#{name if re.fullmatch('[0-9a-f]{6}', name) else otherwise}"


def drawn(cells: Mapping[int, pyte.screens.Char], columns: int) -> str:
    """A line of the screen: runs of one style, each as wide as its cells."""

    def style(x: int) -> tuple[str, str, bool]:
        cell = cells[x]
        front, back = colour(cell.fg, FOREGROUND), colour(cell.bg, BACKGROUND)
        return (back, front, cell.bold) if cell.reverse else (front, back, cell.bold)

    parts = []
    for (front, back, bold), run in groupby(range(columns), style):
        places = list(run)
        x, width = places[0] * CELL_WIDTH, len(places) * CELL_WIDTH
        if back != f"#{BACKGROUND}":
            parts.append(
                f'<rect x="{x}" y="0" width="{width}" height="{CELL_HEIGHT}" fill="{back}"/>'
            )
        text = "".join(cells[place].data for place in places)
        if text.strip():
            weight = ' font-weight="bold"' if bold else ""
            parts.append(
                f'<text x="{x}" y="13" fill="{front}"{weight} textLength="{width}" '
                f'lengthAdjust="spacingAndGlyphs" xml:space="preserve">{escape(text)}</text>'
            )
    return "".join(parts)


def frames(cast: Path) -> Iterator[tuple[float, int, tuple[str, ...]]]:
    """Time in seconds, columns and lines of each picture that differs from the one before."""
    head, *lines = cast.read_text(encoding="utf-8").splitlines()
    size = json.loads(head)
    screen = pyte.Screen(size["width"], size["height"])
    stream, due, before = pyte.Stream(screen), FRAME_S, None
    for line in lines:
        at, _, text = json.loads(line)
        if at >= due:
            due = at + FRAME_S
            shown = tuple(drawn(screen.buffer[y], screen.columns) for y in range(screen.lines))
            if shown != before and any(shown):
                before = shown
                yield at, screen.columns, shown
        stream.feed(text)


def picture(cast: Path) -> str:
    """The whole picture."""
    taken = list(frames(cast))
    begin, end = taken[0][0], taken[-1][0] + LAST_FRAME_S
    width, height = taken[0][1] * CELL_WIDTH, len(taken[0][2]) * CELL_HEIGHT
    names = {line: f"l{n}" for n, line in enumerate({row: 0 for _, _, f in taken for row in f})}
    styles, groups = [], []
    for n, (at, _, shown) in enumerate(taken):
        until = taken[n + 1][0] if n + 1 < len(taken) else end
        start, stop = ((moment - begin) / (end - begin) * 100 for moment in (at, until))
        styles.append(
            f"@keyframes k{n}{{0%{{visibility:hidden}}{start:.3f}%{{visibility:visible}}"
            f"{stop:.3f}%{{visibility:hidden}}100%{{visibility:hidden}}}}"
            f"#f{n}{{visibility:hidden;animation:k{n} {end - begin:.2f}s step-end infinite}}"
        )
        uses = (
            f'<use href="#{names[row]}" y="{y * CELL_HEIGHT}"/>'
            for y, row in enumerate(shown)
            if row
        )
        groups.append(f'<g id="f{n}">{"".join(uses)}</g>')
    lines = "".join(f'<g id="{name}">{row}</g>' for row, name in names.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="DejaVu Sans Mono, Noto Sans Mono CJK JP, monospace" '
        f'font-size="{FONT_SIZE}"><style>{"".join(styles)}</style><defs>{lines}</defs>'
        f'<rect width="{width}" height="{height}" fill="#{BACKGROUND}"/>{"".join(groups)}</svg>\n'
    )


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cast", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.write_text(picture(arguments.cast), encoding="utf-8")
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
