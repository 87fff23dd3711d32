"""Curves are drawn only from the file that training hashed."""

import json
from pathlib import Path

import pytest

from so8t_core.contract.errors import ManifestError
from so8t_core.phases import report
from so8t_core.reporting.series import read_all_series, thinned
from tests.reporting.made_run import context, make_manifest, make_run, write_series


def test_the_series_are_read_by_name_and_step(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    ((source, series),) = read_all_series(run.phase("train"), manifests["train"])
    assert source.sha256 == manifests["train"].outputs[0].sha256
    assert series["loss"] == ((1, 3.5), (2, 2.75), (3, 2.125))
    assert set(series) == {"loss", "learning_rate"}


def test_a_changed_series_file_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    path = run.phase("train") / "series.jsonl"
    path.write_text(path.read_text().replace("2.125", "1.125"))
    with pytest.raises(ManifestError, match="changed"):
        report.run(context(run, manifests))
    assert not run.phase("report").exists()


def test_a_vanished_series_file_is_refused(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    (run.phase("train") / "series.jsonl").unlink()
    with pytest.raises(ManifestError, match="missing"):
        report.run(context(run, manifests))


def test_a_training_without_series_has_no_curves_and_says_so(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path, {"train": {"steps": 0}})
    manifests["train"] = make_manifest(run.phase("train"), "train", {"steps": 0})
    assert report.run(context(run, manifests)).figures["curves"] == 0
    assert "recorded no series" in (run.phase("report") / "report.md").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"step": 1, "loss": 1.0}\n{"step": 1, "loss": 2.0}\n', "goes back"),
        ('{"loss": 1.0}\n', "no whole number"),
        ("[1]\n", "no whole number"),
        ("{\n", "not JSON"),
    ],
)
def test_a_series_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write_series(tmp_path / "train")
    path.write_text(text)
    manifest = make_manifest(path.parent, "train", {}, outputs=(path,))
    with pytest.raises(ManifestError, match=message):
        read_all_series(path.parent, manifest)


def test_values_that_are_not_finite_leave_a_gap(tmp_path: Path) -> None:
    path = write_series(tmp_path / "train")
    path.write_text('{"step": 1, "loss": NaN}\n{"step": 2, "loss": 4.0, "kind": "x"}\n')
    manifest = make_manifest(path.parent, "train", {}, outputs=(path,))
    ((_, series),) = read_all_series(path.parent, manifest)
    assert series == {"loss": ((2, 4.0),)}


def test_the_held_out_loss_is_a_curve_of_its_own_file(tmp_path: Path) -> None:
    path = write_series(tmp_path / "train")
    held_out = path.with_name("evaluations.jsonl")
    held_out.write_text('{"step": 0, "eval_loss": 5.0}\n{"step": 3, "eval_loss": 4.0}\n')
    manifest = make_manifest(path.parent, "train", {}, outputs=(path, held_out))
    sources = {source.path: series for source, series in read_all_series(path.parent, manifest)}
    assert sources["evaluations.jsonl"] == {"eval_loss": ((0, 5.0), (3, 4.0))}
    assert "loss" in sources["series.jsonl"]


def test_an_empty_series_has_no_points(tmp_path: Path) -> None:
    path = write_series(tmp_path / "train")
    path.write_text("")
    manifest = make_manifest(path.parent, "train", {}, outputs=(path,))
    assert read_all_series(path.parent, manifest)[0][1] == {}


def test_thinning_keeps_the_ends_and_every_extreme(tmp_path: Path) -> None:
    points = tuple((step, float(step % 97)) for step in range(10_000))
    spiked = (*points[:5000], (5000, 1e6), *points[5001:])
    kept = thinned(spiked, 100)
    assert len(kept) <= 202
    assert kept[0] == spiked[0]
    assert kept[-1] == spiked[-1]
    assert (5000, 1e6) in kept
    assert list(kept) == sorted(set(kept))
    assert thinned(points[:50], 100) == points[:50]


def test_the_curves_name_their_file(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    report.run(context(run, manifests))
    content = json.loads((run.phase("report") / "report.json").read_text())
    assert [curve["name"] for curve in content["curves"]] == ["loss", "learning_rate"]
    assert {curve["path"] for curve in content["curves"]} == {"series.jsonl"}
