"""The moving picture of a recording: frames in their order, wide characters in their cells."""

import json
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.interface_pictures import placed_by_cell
from benchmarks.recording_picture import CELL_WIDTH, picture

SVG = "{http://www.w3.org/2000/svg}"


def test_a_recording_becomes_frames_that_share_their_lines(tmp_path: Path) -> None:
    cast = tmp_path / "short.cast"
    head = {"version": 2, "width": 20, "height": 3}
    pieces = [
        [0.1, "o", "<same> & 日本\r\n"],
        [1.5, "o", "one\r"],
        [3.0, "o", "two"],
        [9.0, "o", "\x1b[2J"],
    ]
    cast.write_text("\n".join(json.dumps(each) for each in [head, *pieces]), encoding="utf-8")
    drawn = ElementTree.fromstring(picture(cast))
    texts = ["".join(each.itertext()).rstrip() for each in drawn.iter(f"{SVG}text")]
    assert texts == ["<same> & 日本", "one", "two"]
    frames = [g for g in drawn.findall(f"{SVG}g") if g.get("id", "").startswith("f")]
    used = [[use.get("href") for use in frame] for frame in frames]
    assert [len(lines) for lines in used] == [1, 2, 2]
    assert len({lines[0] for lines in used}) == 1
    first = next(drawn.iter(f"{SVG}text"))
    assert first.get("textLength") == str(20 * CELL_WIDTH)


def test_a_picture_has_wide_characters_in_their_cells() -> None:
    line = (
        '<text class="r1" x="12.2" y="20" textLength="61" clip-path="url(#c)">a日本&#160;b</text>'
    )
    placed = [
        (text.get("x"), text.get("textLength"), text.text)
        for text in ElementTree.fromstring(f"<svg>{placed_by_cell(line)}</svg>")
    ]
    assert placed == [("12.2", "12.2", "a"), ("24.4", "48.8", "日本"), ("73.2", "24.4", "\xa0b")]
