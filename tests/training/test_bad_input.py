"""Everything that a person can get wrong is named before the model loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from safetensors.torch import load_file, save_file

from so8t_core.contract.errors import CheckpointError, DataError, ModelError, So8tError
from so8t_core.model.adapter import Adapter
from so8t_core.model.weights import ModelFolder
from so8t_core.phases import train as phase
from so8t_core.phases.base import HardPause
from tests.training.trial import PlannedGate, context, make_model, train

NewRun = Callable[[str], Path]
PAIR = {"prompt": "首都はどこですか。", "completion": "東京です。"}


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a model would be loaded."""

    def load(*_: Any) -> None:
        pytest.fail("the model was loaded first")

    monkeypatch.setattr(phase, "load_base", load)


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


CASES: tuple[tuple[str, tuple[dict[str, Any], ...], dict[str, Any], type[So8tError], str], ...] = (
    ("empty", (), {}, DataError, "The data set is empty"),
    ("masked", ({**PAIR, "prompt": "問" * 90},), {}, DataError, "All labels are masked"),
    ("unanswered", (PAIR, {**PAIR, "completion": " "}), {}, DataError, "the first is row 2"),
    ("unknown", ({"title": "a", "body": "b"},), {}, DataError, "fields: body, title"),
    ("other", (PAIR,), {"dataset_format": "alpaca"}, DataError, "fields completion, prompt"),
    ("mixed", (PAIR, {"text": "文章"}), {}, DataError, "Row 2 has the format text"),
    ("all held out", (PAIR,), {"validation_fraction": 0.9}, DataError, "would be held out"),
    ("half a letter", ({"text": "a\ud800"},), {}, DataError, "not_unicode"),
    (
        "too long",
        ({**PAIR, "prompt": "問" * 90},),
        {"long_pairs": "drop"},
        DataError,
        "long_pairs: cut",
    ),
    ("no linear", (PAIR,), {"lora_targets": ("q_proj",)}, ModelError, "no linear named q_proj"),
)


@pytest.mark.usefixtures("no_loading")
@pytest.mark.parametrize(
    ("rows", "settings", "kind", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_data_set_that_cannot_be_used_is_named(
    tmp_path: Path,
    new_run: NewRun,
    rows: tuple[dict[str, Any], ...],
    settings: dict[str, Any],
    kind: type[So8tError],
    words: str,
) -> None:
    own = {"dataset": written(tmp_path, *rows), "validation_fraction": 0.0, **settings}
    with pytest.raises(kind) as caught:
        train(context(new_run("run"), **own))
    assert words in str(caught.value)
    assert caught.value.where
    assert "file" not in str(caught.value.where).split(", ")  # but as the user named it
    assert caught.value.hint
    assert "fraction" not in caught.value.hint or "validation_fraction" in settings


@pytest.mark.usefixtures("no_loading")
def test_data_of_which_nothing_is_left_is_named_as_it_was_given(
    tmp_path: Path, new_run: NewRun
) -> None:
    place = written(tmp_path, {**PAIR, "prompt": "問" * 90})
    with pytest.raises(DataError, match="All labels are masked") as caught:
        train(context(new_run("run"), dataset=place, validation_fraction=0.0))
    assert caught.value.where == f"{place}, train.max_length_tokens"


@pytest.mark.usefixtures("no_loading")
def test_gates_of_a_base_that_has_none_are_refused_before_it_loads(
    new_run: NewRun, model: Path
) -> None:
    with pytest.raises(ModelError, match=r"no SO\(8\) gates"):
        train(context(new_run("run"), model_path=model.parent / "base"))


@pytest.mark.usefixtures("no_loading")
def test_what_cleanse_left_empty_is_named(new_run: NewRun) -> None:
    root = new_run("run")
    for path in root.glob("cleanse/*/train.parquet"):
        table = pyarrow.parquet.read_table(path)
        pyarrow.parquet.write_table(table.slice(0, 0), path)
    with pytest.raises(DataError, match="The data set is empty"):
        train(context(root))


@pytest.mark.usefixtures("no_loading")
def test_a_tokenizer_without_chat_template_is_named(tmp_path: Path, new_run: NewRun) -> None:
    bare = make_model(tmp_path / "bare")
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    config = bare / "tokenizer_config.json"
    facts = json.loads(config.read_text())
    facts.pop("chat_template", None)
    config.write_text(json.dumps(facts))
    with pytest.raises(ModelError, match="no chat template"):
        train(context(new_run("run"), model_path=bare))


@pytest.mark.usefixtures("no_loading")
def test_a_token_to_fill_up_with_that_the_model_does_not_know_is_named(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase, "_pad_id", lambda _: 1 << 20)
    with pytest.raises(ModelError, match="fills up with token 1048576"):
        train(context(new_run("run")))


def test_a_checkpoint_of_other_data_or_settings_says_which_differ(
    tmp_path: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = new_run("run")
    own = written(tmp_path, *[{**PAIR, "prompt": f"問い{n}"} for n in range(8)])
    chosen = {"dataset": own, "validation_fraction": 0.0, "max_steps": 2}
    with pytest.raises(HardPause):
        train(context(root, PlannedGate(pause_at=4), **chosen))
    monkeypatch.setattr(phase, "load_base", lambda *_: pytest.fail("the model was loaded first"))
    written(tmp_path, *[{**PAIR, "prompt": f"別の問い{n}"} for n in range(8)])
    with pytest.raises(CheckpointError) as caught:
        train(context(root, **{**chosen, "lora_rank": 8}))
    assert "train.lora_rank (checkpoint: 64, now: 8)" in caught.value.what
    assert "training data" in caught.value.what
    assert "learning_rate" not in caught.value.what
    assert "--force-new-run" in str(caught.value.hint)


def test_an_adapter_of_another_base_is_refused(straight: Any, tmp_path: Path, model: Path) -> None:
    root, _, _ = straight
    folder = root / "train" / "adapter"
    assert Adapter.read(folder, ModelFolder.read(model)).pairs
    other = tmp_path / "other"  # of the same names and shapes, one number another
    shutil.copytree(model, other)
    shard = next(other.glob("*.safetensors"))
    weights = load_file(shard)
    weights[sorted(weights)[0]].view(-1)[0] += 1.0
    save_file(weights, shard, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="trained on another base"):
        Adapter.read(folder, ModelFolder.read(other))
