from __future__ import annotations

from pathlib import Path

from so8t_core.training.series import START, SeriesFile, read_series


def test_floats_read_back_exactly(tmp_path: Path) -> None:
    series = SeriesFile(tmp_path / "series.jsonl")
    values = {"step": 1, "loss": 0.1 + 0.2, "learning_rate": 1e-7 / 3}
    series.append(values)
    series.close()
    assert list(read_series(series.path)) == [values]


def test_a_rewound_series_goes_on_as_if_nothing_had_come_after_the_mark(tmp_path: Path) -> None:
    straight, rewound = (SeriesFile(tmp_path / name) for name in ("straight", "rewound"))
    for series in (straight, rewound):
        series.append({"step": 1})
    mark = rewound.mark()
    rewound.append({"step": 99})
    rewound.close()
    with rewound.path.open("a") as file:
        file.write('{"step": 100, "lo')  # torn by a kill
    again = SeriesFile(rewound.path)
    assert again.holds(mark)
    again.rewind(mark)
    for series in (straight, again):
        series.append({"step": 2})
    assert again.mark() == straight.mark()
    assert again.path.read_bytes() == straight.path.read_bytes()
    again.rewind(START)
    assert again.path.read_bytes() == b""
    again.close()
    straight.close()


def test_a_changed_beginning_is_noticed(tmp_path: Path) -> None:
    series = SeriesFile(tmp_path / "series.jsonl")
    series.append({"step": 1})
    mark = series.mark()
    series.path.write_text('{"step":2}\n')
    assert not series.holds(mark)
    series.begin_anew()
    series.append({"step": 3})
    assert list(read_series(series.path)) == [{"step": 3}]
    assert series.holds(series.mark())
    aside = tmp_path / "series.jsonl.damaged"
    assert aside.read_text() == '{"step":2}\n'
    series.begin_anew()  # killed before the next checkpoint, and started again
    assert series.mark() == START
    assert aside.read_text() == '{"step":2}\n'
    series.close()
