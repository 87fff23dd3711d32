import json
import shutil

import pytest

from so8t_core.cleanse.classifier import load_classifier
from so8t_core.cleanse.inspect import reasons, sample, why
from so8t_core.cli import main
from so8t_core.contract.config import save_settings
from so8t_core.contract.settings.cleanse import CleanseSettings
from so8t_core.phases import cleanse
from tests.cleanse.crawls import Crawled, context, write_crawl
from tests.cleanse.flagged_texts import flagged, harmless
from tests.cleanse.samples import bad_texts, page, prose
from tests.cleanse.test_phase import HOST, PERSONAL, VALUES


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run whose cleansing is finished."""
    root = tmp_path_factory.mktemp("runs") / "made"
    pages = [
        Crawled(f"{HOST}/good", page("記事", prose(1, 6))),
        Crawled(f"{HOST}/salad", page("悪い例", bad_texts()["word salad"])),
        Crawled(f"{HOST}/contact?m={VALUES[1]}", page("連絡先", f"{prose(2, 6)}\n{PERSONAL}")),
        Crawled(f"{HOST}/escape", page("悪い例", "\x1b[31m\u202e" + bad_texts()["link list"])),
    ]
    write_crawl(root / "crawl", pages)
    ctx, _ = context(root)
    save_settings(ctx.settings, ctx.run.settings_file)
    cleanse.run(ctx)
    return root


def test_a_page_is_found_by_its_url_by_its_masked_url_and_by_its_id(done):
    by_url = why(done / "cleanse", f"{HOST}/salad")
    assert by_url is not None
    assert by_url.rows == {}
    assert [(entry.step, entry.reason) for entry in by_url.ledger] == [("quality", "word_salad")]
    assert why(done / "cleanse", by_url.id) == by_url
    raw = why(done / "cleanse", f"{HOST}/contact?m={VALUES[1]}")
    assert raw is not None
    assert VALUES[1] not in str(raw)
    assert why(done / "cleanse", raw.url) == raw
    assert {entry.reason for entry in raw.ledger} >= {"email", "phone"}


def test_a_kept_page_says_where_it_is_and_an_unknown_one_nothing(done):
    fate = why(done / "cleanse", f"{HOST}/good")
    assert fate is not None
    assert fate.rows == {"corpus/train": 1, "instruction/train": 1, "thinking/train": 1}
    assert why(done / "cleanse", f"{HOST}/unheard") is None


def test_a_sample_shows_the_text_before_and_after_and_stores_neither(done):
    (example,) = sample(done / "crawl", done / "cleanse", "phone", 5, 0, CleanseSettings())
    assert VALUES[0] in example.before
    assert VALUES[0] not in example.after
    assert "〔電話番号〕" in example.after
    assert reasons(done / "cleanse")["word_salad"] == 1


def test_the_commands_print_for_people_and_for_scripts(done, capsys):
    common = ["--runs-dir", str(done.parent)]
    assert main(["cleanse", "why", f"{HOST}/salad", "--run", "made", *common]) == 0
    assert "word_salad" in capsys.readouterr().out
    arguments = ["cleanse", "sample", "--reason", "no_line_ends", "--run", "made", *common]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "no_line_ends" in shown
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown
    assert main([*arguments, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["reason"] == "no_line_ends"


def test_an_unknown_page_or_reason_is_a_usage_error_that_says_what_there_is(done, capsys):
    common = ["--run", "made", "--runs-dir", str(done.parent)]
    assert main(["cleanse", "why", "nothing", *common]) == 2
    assert "knows no page" in capsys.readouterr().err
    assert main(["cleanse", "sample", "--reason", "nothing", *common]) == 2
    assert "word_salad 1" in capsys.readouterr().err


def test_samples_without_the_crawl_say_what_is_missing(done, tmp_path, capsys):
    shutil.copytree(done / "cleanse", tmp_path / "alone" / "cleanse")
    shutil.copy(done / "run.yaml", tmp_path / "alone")
    arguments = ["--run", str(tmp_path / "alone"), "--runs-dir", str(tmp_path)]
    assert main(["cleanse", "sample", "--reason", "phone", *arguments]) == 4
    assert "WARC" in capsys.readouterr().err


def test_a_finished_run_keeps_its_executor(done, capsys):
    arguments = ["cleanse", "--run", "made", "--runs-dir", str(done.parent), "--executor", "ray"]
    assert main([*arguments, "--headless"]) == 2
    assert "keeps the executor" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("--set", "cleanse.workers=2"), ("-c", "any.yaml")])
def test_settings_beside_a_run_are_refused_and_not_passed_over(done, capsys, words):
    arguments = ["cleanse", "--run", "made", "--runs-dir", str(done.parent), *words]
    assert main([*arguments, "--headless"]) == 2
    assert f"keeps the settings that it was made with.\n  where: {words[0]}" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("name", ["why", "sample", "train-classifier"])
def test_every_command_has_help_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["cleanse", name, "--help"])
    assert ended.value.code == 0
    assert f"so8t cleanse {name}" in capsys.readouterr().out


def test_the_classifier_is_built_from_the_command_line(tmp_path, capsys):
    file = tmp_path / "labelled.jsonl"
    made = [*flagged(1), *harmless(1), *harmless(2)]
    lines = [json.dumps({"text": text.text, "category": text.category}) for text in made]
    file.write_text("\n".join(lines), encoding="utf-8")
    output = tmp_path / "model"
    arguments = ["cleanse", "train-classifier", "--data", str(file), "--output", str(output)]
    assert main([*arguments, "--epochs", "2"]) == 0
    assert "recall" in capsys.readouterr().out
    assert load_classifier(output).classes[0] == "safe"
    assert main([*arguments, "--epochs", "0"]) == 2
