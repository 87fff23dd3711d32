"""The catalogues agree, and values are written with their units."""

from string import Formatter

import pytest

from so8t_core.reporting.amounts import shown, unit_along, unit_of
from so8t_core.reporting.catalogue import catalogue
from so8t_core.reporting.document import Figure, Outside, Several, Words

EN = catalogue("en").wording.values


def holes(text: str) -> list[str | None]:
    return [name for _, name, _, _ in Formatter().parse(text) if name is not None]


@pytest.mark.parametrize("part", ["values", "words", "labels", "reasons"])
def test_both_languages_word_the_same_things(part: str) -> None:
    english = getattr(catalogue("en").wording, part)
    japanese = getattr(catalogue("ja").wording, part)
    assert set(english) == set(japanese)
    for key in english:
        assert holes(english[key]) == holes(japanese[key])


def test_folded_japanese_lines_leave_no_space() -> None:
    sentences = catalogue("ja").wording.words.values()
    assert not any("。 " in sentence or "、 " in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("size_bytes", ("size", "bytes")),
        ("active_s", ("active", "s")),
        ("train_tokens_per_s", ("train", "tokens_per_s")),
        ("kept_share", ("kept", "share")),
        ("bits_per_byte", ("bits_per_byte", "bits_per_byte")),
        ("bytes", ("bytes", "bytes")),
        ("documents", ("documents", None)),
        ("loss", ("loss", None)),
        ("s", ("s", None)),
        ("payload_bytes_in", ("payload_in", "bytes")),
        ("documents_in", ("documents_in", None)),
        ("documents_per_core_s", ("documents", "per_s")),
    ],
)
def test_the_unit_is_read_from_the_name(key: str, split: tuple[str, str | None]) -> None:
    assert unit_of(key) == split


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("documents", 1234567, "1,234,567"),
        ("loss", 2.125, "2.125"),
        ("loss", 12345.678, "12,346"),
        ("learning_rate", 0.0002, "0.0002"),
        ("learning_rate", 1.25e-9, "1.25e-09"),
        ("error", 0.0, "0"),
        ("size_bytes", 999, "999 B"),
        ("size_bytes", 1_234_567, "1.235 MB"),
        ("active_s", 12.5, "12.5 s"),
        ("active_s", 200.4, "3 min 20 s"),
        ("active_s", 7384, "2 h 3 min"),
        ("kept_share", 0.125, "12.5 %"),
        ("tokens_per_s", 6959.0, "6,959 tokens/s"),
        ("shift_rad", -0.5, "-0.5 rad"),
        ("quantised", True, "yes"),
        ("anything", None, "not measured"),
        ("dtype", "int8", "int8"),
        ("finished_at", "2031-05-07T11:13:17.123456Z", "2031-05-07 11:13:17"),
    ],
)
def test_a_value_is_written_with_its_unit(key: str, value: object, text: str) -> None:
    assert shown(unit_along(("figures", key)), value, EN) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (("figures", "documents", "bits_per_byte", "base", "value"), "bits_per_byte"),
        (("figures", "documents", "bits_per_byte", "base", "interval", 0), "bits_per_byte"),
        (("figures", "compute_s", "base"), "s"),
        (("figures", "answer_form", "base", "valid", "value"), "share"),
        (("figures", "hosts", "a.example", "kept"), None),
    ],
)
def test_a_group_hands_its_unit_down(path: tuple[str | int, ...], unit: str | None) -> None:
    assert unit_along(path) == unit


def test_a_verdict_is_translated_and_other_text_is_not() -> None:
    verdict = Figure("evaluate", ("figures", "verdict"), "better", "")
    other = Figure("evaluate", ("figures", "title"), "better", "")
    assert catalogue("ja").value(verdict) == "改善"
    assert catalogue("ja").value(other) == "better"


def test_of_an_interval_the_end_alone_names_the_unit() -> None:
    path = ("figures", "bits_per_byte", "base", "interval")
    ends = tuple(Figure("evaluate", (*path, index), 1.5 + index, "") for index in (0, 1))
    assert catalogue("en").values(Several(ends, interval=True)) == ("1.5", "2.5 bits per byte")
    rates = tuple(Figure("evaluate", ("answer_form", index), 0.25, "") for index in (0, 1))
    assert catalogue("en").values(Several(rates, interval=True)) == ("25 %", "25 %")


def test_a_known_key_has_a_label_and_an_unknown_one_is_made_readable() -> None:
    assert catalogue("ja").label("learning_rate") == Words("学習率")
    assert catalogue("ja").label("odd_thing_bytes") == Outside("Odd thing")
    assert catalogue("ja").label("www.odd_thing.example") == Outside("www.odd_thing.example")
