"""Settings: unknown keys are refused with the nearest name, file and line; the hash is of content."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from so8t_core.contract.config import dump_settings, load_settings, settings_digest
from so8t_core.contract.errors import SettingsError


def refused(path: Path, text: str) -> SettingsError:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return caught.value


def test_an_unknown_setting_names_the_nearest_one_and_the_line(tmp_path: Path):
    error = refused(tmp_path / "a.yaml", "name: x\nengine:\n  max_attemps: 4\n")
    assert error.what == "Unknown setting `engine.max_attemps`."
    assert error.hint == "Did you mean `max_attempts`?"
    assert error.where == f"{tmp_path / 'a.yaml'}:3"


def test_an_unknown_section_is_refused(tmp_path: Path):
    assert "crawll" in refused(tmp_path / "a.yaml", "crawll: {}\n").what


def test_a_value_out_of_range_says_what_is_allowed(tmp_path: Path):
    error = refused(tmp_path / "a.yaml", "engine:\n  max_attempts: 0\n")
    assert "greater than or equal to 1 (given: 0)" in error.what


def test_broken_yaml_names_line_and_column(tmp_path: Path):
    error = refused(tmp_path / "a.yaml", "name: x\nengine: [1, 2\ncrawl: {}\n")
    assert error.where is not None
    assert error.where.startswith(f"{tmp_path / 'a.yaml'}:3")


def test_a_setting_given_twice_is_refused(tmp_path: Path):
    assert "given twice" in refused(tmp_path / "a.yaml", "seed: 1\nname: x\nseed: 2\n").what


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "3\n"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str):
    assert "mapping" in refused(tmp_path / "a.yaml", text).what


def test_a_missing_file_and_a_binary_one_are_named(tmp_path: Path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(tmp_path / "b.yaml")


def test_a_section_may_be_another_file_and_errors_name_that_file(tmp_path: Path):
    main = tmp_path / "main.yaml"
    main.write_text("train: inner.yaml\n")
    (tmp_path / "inner.yaml").write_text("no_such_setting: 1\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(main)
    assert caught.value.where == f"{tmp_path / 'inner.yaml'}:1"
    (tmp_path / "inner.yaml").write_text("{}\n")
    assert load_settings(main) == load_settings(None)


def test_a_file_that_extends_another_changes_only_what_it_says(tmp_path: Path):
    (tmp_path / "below.yaml").write_text(
        "name: below\nengine: {max_attempts: 7, retry_delay_s: 1}\n"
    )
    (tmp_path / "above.yaml").write_text("extends: below.yaml\nengine: {max_attempts: 2}\n")
    settings = load_settings(tmp_path / "above.yaml")
    assert (settings.name, settings.engine.max_attempts, settings.engine.retry_delay_s) == (
        "below",
        2,
        1,
    )
    error = refused(tmp_path / "wrong.yaml", "extends: below.yaml\nengine:\n  max_attemps: 2\n")
    assert error.where == f"{tmp_path / 'wrong.yaml'}:3"


def test_files_that_extend_one_another_are_refused(tmp_path: Path):
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    assert "circle" in refused(tmp_path / "a.yaml", "extends: b.yaml\n").what


def test_what_is_dumped_loads_to_the_same_settings_and_hash(tmp_path: Path):
    settings = load_settings(None, ["name=other", "engine.skip=[crawl, cleanse]"])
    (tmp_path / "run.yaml").write_text(dump_settings(settings), encoding="utf-8")
    again = load_settings(tmp_path / "run.yaml")
    assert again == settings
    assert settings_digest(again) == settings_digest(settings)


def test_overrides_reach_nested_settings_and_bad_ones_are_refused():
    settings = load_settings(None, ["engine.retry_delay_s=1.5", "engine.continue_on_error=true"])
    assert settings.engine.retry_delay_s == 1.5
    assert settings.engine.continue_on_error
    for bad in ("engine", "=3", "engine.max_attempts=[", "name.deep=1", "engine.none=1"):
        with pytest.raises(SettingsError):
            load_settings(None, [bad])


def test_the_hash_sees_only_the_sections_asked_for():
    one, two = load_settings(None), load_settings(None, ["engine.max_attempts=5"])
    assert settings_digest(one, ["crawl"]) == settings_digest(two, ["crawl"])
    assert settings_digest(one, ["engine"]) != settings_digest(two, ["engine"])


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
        if path.parent.name != "evaluation"  # tasks of lm-evaluation-harness
    ],
    ids=lambda p: p.name,
)
def test_every_shipped_pipeline_file_is_valid(path: Path):
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    sections = {*load_settings(None).model_dump(), "extends"}
    if set(raw) <= sections:
        load_settings(path)
    else:  # a section of its own, included by a pipeline
        assert any(
            path.name in other.read_text(encoding="utf-8")
            for other in (Path(__file__).parents[2] / "configs").rglob("*.yaml")
            if other != path
        )


@pytest.mark.parametrize(
    "text",
    ["a: &a [*a]\n", "crawl: &a {x: *a}\n", "crawl: &a\n  seeds: [b, *a]\n"],
)
def test_an_alias_of_what_contains_it_is_refused_with_its_line(tmp_path: Path, text: str):
    error = refused(tmp_path / "a.yaml", text)
    assert "alias" in error.what
    assert error.where.startswith(f"{tmp_path / 'a.yaml'}:1:")


@pytest.mark.parametrize(
    "text",
    ["name: " + "[" * 20_000, "name: 2026-99-99\n", "name: !!bool x\n", "name: !!timestamp x\n"],
    ids=lambda text: text[:20],
)
def test_what_the_yaml_reader_itself_stumbles_over_is_refused(tmp_path: Path, text: str):
    assert "not valid YAML" in refused(tmp_path / "a.yaml", text).what
    with pytest.raises(SettingsError, match="not valid YAML"):
        load_settings(None, [f"name={text.partition(' ')[2]}"])


def test_aliases_of_aliases_are_read_in_no_time(tmp_path: Path):
    lines = ["x0: &x0 [a, a]"] + [f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}]" for n in range(1, 60)]
    assert "Unknown setting `x0`" in refused(tmp_path / "a.yaml", "\n".join(lines)).what


@pytest.mark.parametrize(
    "assignment",
    ["train.learning_rate=.inf", "train.epochs=.nan", "train.max_steps=10000000000",
     "engine.retry_delay_s=1.0e+300", "cleanse.shard_documents=" + "9" * 400],
)  # fmt: skip
def test_numbers_beyond_all_use_are_refused(assignment: str):
    with pytest.raises(SettingsError):
        load_settings(None, [assignment])


def test_an_override_is_named_as_the_place_of_its_own_error(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("name: x\ntrain:\n  epochs: 1\ncrawl:\n  max_pages: 3\n")
    for assignment in ("train.foo=1", "train.epochs=-1", "train={foo: 1}"):
        with pytest.raises(SettingsError) as caught:
            load_settings(path, ["seed=1", assignment])
        assert caught.value.where == f"--set {assignment}"
    with pytest.raises(SettingsError) as caught:
        load_settings(path, ["crawl.source=web"])
    assert caught.value.where == f"{path}:4 with --set crawl.source=web"
