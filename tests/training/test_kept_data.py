"""Tokenised data is kept, and taken again only where it would be made again to the bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from so8t_core.contract.errors import ResourceError
from so8t_core.contract.files import PARTIAL_SUFFIX
from so8t_core.phases.base import HardPause, PhaseContext
from so8t_core.training.inputs import resolve_inputs
from so8t_core.training.kept_data import KeptData, data_key, gather_data
from so8t_core.training.preparation import PreparedData
from so8t_core.training.ranks import alone
from tests.training.trial import context, said, train

NewRun = Callable[[str], Path]
ROWS = [
    {
        "messages": [
            {"role": role, "content": f"{n}の{role}です。"} for role in ("user", "assistant")
        ]
    }
    for n in range(40)
]


class Encodings:
    """How often data was encoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from so8t_core.training import kept_data

        self.count = 0
        original = kept_data.encode_data

        def counted(*args: Any, **kwargs: Any) -> PreparedData:
            self.count += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(kept_data, "encode_data", counted)


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> Encodings:
    return Encodings(monkeypatch)


@pytest.fixture
def gathered(tmp_path: Path, new_run: NewRun, tokenizer: Any) -> Callable[..., Any]:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    root = new_run("run")

    def gathered(gate: Any = None, **settings: Any) -> tuple[PreparedData, PhaseContext]:
        ctx = context(root, gate, **{"dataset": str(rows), "validation_fraction": 0.1} | settings)
        ctx.folder.mkdir(exist_ok=True)
        inputs = resolve_inputs(ctx)
        return gather_data(ctx, inputs, tokenizer, alone(), whole_share=False), ctx

    return gathered


def same(one: PreparedData, other: PreparedData) -> bool:
    assert one.held_out is not None
    assert other.held_out is not None
    return (
        (one.train.digest(), one.held_out.digest())
        == (other.train.digest(), other.held_out.digest())
        and one.figures == other.figures
        and one.notes == other.notes
    )


def test_a_resume_takes_what_is_kept_and_ends_with_the_same_bits(
    straight: Any, tmp_path: Path, encodings: Encodings
) -> None:
    root, outcome, _ = straight
    for name, removed, encoded in (("kept", "adapter", 0), ("lost", "data", 1)):
        again = shutil.copytree(root, tmp_path / name, symlinks=True)
        shutil.rmtree(again / "train" / removed)
        found = train(context(again))
        assert encodings.count == encoded
        assert found.digest == outcome.digest
        kept = {"samples", "samples_held_out", "sources", "dropped_samples", "changed_samples"}
        assert kept <= found.figures.keys()
        assert {name: found.figures[name] for name in kept} == {
            name: outcome.figures[name] for name in kept
        }
        training, before = (
            (run / "train" / "adapter" / "training.json").read_bytes() for run in (again, root)
        )
        assert training == before


def test_what_is_kept_is_what_was_encoded(gathered: Any, encodings: Encodings) -> None:
    first, _ = gathered(long_pairs="drop")
    again, ctx = gathered(long_pairs="drop")
    assert encodings.count == 1
    assert same(first, again)
    assert [first.train[n] for n in range(len(first.train))] == [
        again.train[n] for n in range(len(again.train))
    ]
    assert {type(value) for value in again.figures.values()} == {int, dict}
    assert said(ctx, "fallback") == []


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["samples.safetensors", "told.json", "index.json"])
@pytest.mark.parametrize(
    "harm", [flip, Path.unlink, lambda path: path.write_bytes(b"{")], ids=["flipped", "gone", "cut"]
)
def test_what_is_damaged_is_never_trusted(
    gathered: Any, encodings: Encodings, name: str, harm: Callable[[Path], None]
) -> None:
    first, ctx = gathered()
    harm(ctx.folder / "data" / name)
    again, ctx = gathered()
    assert encodings.count == 2
    assert same(first, again)
    if (name, harm) != ("index.json", flip):  # which may give another key
        (told,) = said(ctx, "fallback")
        assert told["what"] == "tokenising the data anew"
    gathered()
    assert encodings.count == 2


def test_everything_that_decides_the_data_is_in_its_key(
    gathered: Any, tmp_path: Path, encodings: Encodings, model: Path
) -> None:
    _, ctx = gathered()
    copy = shutil.copytree(model, tmp_path / "model")

    def key(seed: int = 42, **settings: Any) -> dict[str, Any]:
        chosen = ctx.settings.train.model_copy(update={"model_path": copy, **settings})
        changed = ctx.settings.model_copy(update={"train": chosen, "seed": seed})
        moved = replace(ctx, settings=changed)
        return data_key(moved, resolve_inputs(moved), whole_share=False)

    whole = key()
    assert whole["tokenizer"].keys() >= {"tokenizer.json", "chat_template.jinja"}
    assert key(learning_rate=1.0) != whole  # has no part in it, and costs no resume
    assert key(save_every_steps=9, adapter_from="best", keep_checkpoints=1) == whole
    others = [key(seed=1), key(max_length_tokens=47), key(chat_format="plain")]
    rows = tmp_path / "rows.jsonl"
    moved = tmp_path / "moved.jsonl"
    moved.write_bytes(rows.read_bytes())
    assert key(dataset=str(moved)) == whole
    moved.write_bytes(rows.read_bytes() + b"\n")
    others.append(key(dataset=str(moved)))
    others.append(key(validation_dataset=str(rows)))
    with (copy / "chat_template.jinja").open("a") as template:
        template.write(" ")
    others.append(key())
    with (copy / "tokenizer_config.json").open("a") as config:
        config.write(" ")
    others.append(key())
    texts = [json.dumps(one, sort_keys=True) for one in (whole, *others)]
    assert len(set(texts)) == len(texts)


def test_another_key_has_the_data_encoded_anew(gathered: Any, encodings: Encodings) -> None:
    first, _ = gathered()
    other, ctx = gathered(max_length_tokens=20)
    assert encodings.count == 2
    assert not same(first, other)
    assert said(ctx, "fallback") == []


def test_progress_is_counted_and_a_pause_is_taken_while_rows_are_tokenised(
    gathered: Any, encodings: Encodings
) -> None:
    class Gate:
        requested = False
        points = 0

        def point(self, save: Any = None) -> None:
            self.points += 1
            if self.points == 21:
                raise HardPause

    with pytest.raises(HardPause):
        gathered(Gate())
    _, ctx = gathered()
    assert encodings.count == 2
    told = said(ctx, "progress")
    assert [one["done"] for one in told] == list(range(36))
    assert {(one["total"], one["unit"], one["message"]) for one in told} == {
        (36, "rows", "tokenising the data")
    }


def test_what_cannot_be_written_leaves_nothing(
    gathered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    _, ctx = gathered()
    kept = KeptData(ctx.folder / "data", {"another": 1})
    data, _ = gathered()
    with monkeypatch.context() as broken:
        broken.setattr("so8t_core.training.kept_data.write_json", full)
        with pytest.raises(ResourceError, match="tokenised data was not written"):
            kept.write(data)
    assert kept.read() is None
    assert not (ctx.folder / f"data{PARTIAL_SUFFIX}").exists()


def test_rows_of_the_hub_are_known_by_what_they_hold(
    gathered: Any, monkeypatch: pytest.MonkeyPatch, encodings: Encodings
) -> None:
    rows = [dict(row) for row in ROWS]
    for module in ("so8t_core.training.kept_data", "so8t_core.training.sources"):
        monkeypatch.setattr(f"{module}.read_rows", lambda *_: iter(rows))
    gathered(dataset="hub:owner/name")
    gathered(dataset="hub:owner/name")
    assert encodings.count == 1
    rows[3] = rows[4]
    gathered(dataset="hub:owner/name")
    assert encodings.count == 2
