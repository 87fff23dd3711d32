"""Every figure of a report comes from a manifest, and says from where."""

import json
import re
from pathlib import Path

from so8t_core.contract.manifest import Manifest
from so8t_core.contract.phases import PhaseName
from so8t_core.contract.rundir import RunDir
from so8t_core.phases import report
from so8t_core.reporting.catalogue import catalogue
from so8t_core.reporting.trace import untraced
from tests.reporting.made_run import FIGURES, context, make_manifest, make_run


def written(run: RunDir, manifests: dict[PhaseName, Manifest], **settings: object) -> dict:
    report.run(context(run, manifests, **settings))
    return json.loads((run.phase("report") / "report.json").read_text(encoding="utf-8"))


def test_each_figure_is_found_in_the_manifest_that_it_names(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    content = written(run, manifests)
    assert untraced(content, run) == []
    for figure in content["figures"]:
        value = manifests[figure["phase"]].model_dump(mode="json")
        for key in figure["path"]:
            value = value[key]
        assert value == figure["value"]
        assert figure["manifest_sha256"] == manifests[figure["phase"]].manifest_sha256


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


def test_each_figure_of_a_manifest_is_in_the_report(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    content = written(run, manifests)
    for phase, figures in FIGURES.items():
        reported = [item["value"] for item in content["figures"] if item["phase"] == phase]
        for leaf in leaves(figures):
            assert leaf in reported


def test_no_number_in_the_markdown_comes_from_elsewhere(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    content = written(run, manifests)
    text = (run.phase("report") / "report.md").read_text(encoding="utf-8")
    for sentence in catalogue("en").wording.words.values():
        text = text.replace(sentence, "")
    text = re.sub("so8t", "", text, flags=re.IGNORECASE)
    text = text.replace(f"Seed: {content['settings']['seed']}", "")
    values = {item["shown"] for item in content["figures"]}
    values |= {value.split(" ")[0] for value in values}  # an interval's start names no unit
    for shown in sorted(values, key=len, reverse=True):
        text = text.replace(shown, "")
    assert re.findall(r"[^\n]*\d[^\n]*", text) == []


def test_a_manifest_that_changed_since_is_named(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    content = written(run, manifests)
    make_manifest(run.phase("crawl"), "crawl", {"pages_kept": 1})
    faults = untraced(content, run)
    assert faults
    assert all(fault.startswith("crawl ") for fault in faults)


def test_a_figure_that_was_altered_in_the_report_is_named(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    content = written(run, manifests)
    changed = next(item for item in content["figures"] if item["path"][-1] == "pages_kept")
    changed["value"] += 1
    assert untraced(content, run) == ["crawl figures.pages_kept: the manifest says something else"]


def test_missing_and_skipped_phases_are_said_in_both_languages(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    for language in ("en", "ja"):
        content = written(run, manifests, language=language)
        words = catalogue(language).wording.words
        text = (run.phase("report") / "report.md").read_text(encoding="utf-8")
        assert content["phases"]["verify"] == {"state": "skipped"}
        assert content["phases"]["export"] == {"state": "missing"}
        assert f"- {words['phase_verify']}: {words['state_skipped']}" in text
        assert f"- {words['phase_export']}: {words['state_missing']}" in text
        assert words["absent_missing"] in text


def test_a_run_without_any_result_still_gets_a_report(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "empty")
    content = written(run, {})
    assert content["figures"] == []
    assert {phase["state"] for phase in content["phases"].values()} == {"missing", "skipped"}


def test_the_digest_knows_results_and_language_but_no_times(tmp_path: Path) -> None:
    run, manifests = make_run(tmp_path)
    first = report.run(context(run, manifests)).digest
    later = {
        name: item.model_copy(update={"active_s": 99.0, "attempt": 3}).sealed()
        for name, item in manifests.items()
    }
    assert report.run(context(run, later)).digest == first
    assert report.run(context(run, manifests, language="ja")).digest != first
    other = dict(manifests, crawl=manifests["crawl"].model_copy(update={"digest": "ff" * 32}))
    assert report.run(context(run, other)).digest != first
