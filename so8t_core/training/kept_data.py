"""The encoded data of a training, kept beside its checkpoints: a resume need not tokenise again.

    data/
        samples.safetensors     ids, learnt and bounds of what is trained and of what is held out
        told.json               figures and notes
        index.json              what decides all of it; size and SHA-256 of the other files

It is taken only where everything that decides it is as it was, and no byte of it was changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from so8t_core.contract.errors import CheckpointError, ResourceError
from so8t_core.contract.files import canonical_json, replacing_folder, sha256_file, write_json
from so8t_core.contract.settings.train import OPERATIONAL, STEERING
from so8t_core.phases.base import PhaseContext
from so8t_core.training.checkpoint import is_full_disk
from so8t_core.training.dataset import SampleSet
from so8t_core.training.encoding import ENCODING_VERSION
from so8t_core.training.inputs import TrainingInputs
from so8t_core.training.preparation import PreparedData, encode_data
from so8t_core.training.ranks import Ranks
from so8t_core.training.rows import read_rows

FORMAT_VERSION = 1
_INDEX, _SAMPLES, _TOLD = "index.json", "samples.safetensors", "told.json"
_PARTS = ("train", "held_out")
_LIBRARIES = ("transformers", "tokenizers", "jinja2")
_TOKENIZER_FILES = frozenset({".json", ".jinja", ".model", ".py", ".tiktoken", ".txt"})
"""Suffixes of what a tokenizer is read from. Other small files of the model share them, which costs
no more than that a change of theirs has the data encoded anew."""


class KeptData:
    """The folder in which encoded data is kept.

    `key`: everything that decides what rows become, as JSON values.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self.folder = folder
        self.key: dict[str, Any] = json.loads(canonical_json(dict(key)))

    def read(self) -> PreparedData | None:
        """What is kept, not packed; None where nothing is, or something of another key.

        Raises `CheckpointError` where any byte was changed or is missing.
        """
        if not self.folder.is_dir():
            return None
        try:
            index = json.loads((self.folder / _INDEX).read_text(encoding="utf-8"))
            if index["format_version"] != FORMAT_VERSION or index["key"] != self.key:
                return None
            for name in (_SAMPLES, _TOLD):
                path, record = self.folder / name, index["files"][name]
                if path.stat().st_size != record["size_bytes"] or (
                    sha256_file(path) != record["sha256"]
                ):
                    raise ValueError(f"{name} was changed or is incomplete")
            arrays = load_file(self.folder / _SAMPLES)
            told = json.loads((self.folder / _TOLD).read_text(encoding="utf-8"))
            parts = {
                part: SampleSet.of_arrays(
                    arrays[f"{part}.ids"], arrays[f"{part}.learnt"], arrays[f"{part}.bounds"]
                )
                for part in _PARTS
                if f"{part}.ids" in arrays
            }
            return PreparedData(
                parts["train"],
                parts.get("held_out"),
                told["figures"],
                tuple(told["notes"]),
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"The tokenised data cannot be used: {error}.",
                where=str(self.folder),
                hint="Remove the folder; the data is then tokenised anew.",
            ) from error

    def write(self, data: PreparedData) -> None:
        """Keep it, whole or not at all. Raises `ResourceError` when the disk is full."""
        arrays = {
            f"{part}.{name}": getattr(samples, name)
            for part in _PARTS
            if (samples := getattr(data, part)) is not None
            for name in ("ids", "learnt", "bounds")
        }
        try:
            with replacing_folder(self.folder) as partial:
                save_file(arrays, partial / _SAMPLES)
                write_json(
                    partial / _TOLD, {"figures": dict(data.figures), "notes": list(data.notes)}
                )
                files = {
                    path.name: {"size_bytes": path.stat().st_size, "sha256": sha256_file(path)}
                    for path in sorted(partial.iterdir())
                }
                index = {"format_version": FORMAT_VERSION, "key": self.key, "files": files}
                write_json(partial / _INDEX, index)
        except (OSError, SafetensorError) as error:
            if not is_full_disk(error):
                raise
            raise ResourceError(
                "The disk is full; the tokenised data was not written.",
                where=str(self.folder),
                hint="Free some space and resume.",
            ) from error


def data_key(ctx: PhaseContext, inputs: TrainingInputs, *, whole_share: bool) -> dict[str, Any]:
    """What decides the encoded data: rows, tokenizer, settings, seed, and who encodes.

    Settings that have no part in it are in it as well, but none that may change in a training.
    """
    settings = ctx.settings.train
    return {
        "encoding": ENCODING_VERSION,
        "libraries": {name: version(name) for name in _LIBRARIES},
        "tokenizer": {
            path.relative_to(inputs.model).as_posix(): sha256_file(path)
            for folder in (inputs.model, inputs.model / "additional_chat_templates")
            for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
            if path.suffix in _TOKENIZER_FILES and path.is_file()
        },
        "rows": _digests(ctx, inputs),
        "settings": settings.model_dump(mode="json", exclude=set(OPERATIONAL | STEERING)),
        "seed": ctx.settings.seed,
        "whole_share": whole_share,
        # what the notes tell of
        "asked": bool(settings.sample_prompts),
        "validated": settings.validation_dataset is not None,
    }


def _digests(ctx: PhaseContext, inputs: TrainingInputs) -> dict[str, str]:
    """SHA-256 of every file of rows; of the rows themselves where they come from the hub."""
    if inputs.cleansed is not None:
        return {
            path.relative_to(inputs.cleansed).as_posix(): sha256_file(path)
            for split in ("train", "validation")
            for path in sorted(inputs.cleansed.glob(f"*/{split}.parquet"))
        }
    found = {}
    for name in ("dataset", "validation_dataset"):
        place: str | None = getattr(ctx.settings.train, name)
        if place is None:
            continue
        if name in inputs.outside:
            found[name] = inputs.outside[name]
            continue
        content = hashlib.sha256()
        for row in read_rows(place, f"train.{name}"):
            ctx.pause.point()
            content.update(f"{row!r}\n".encode(errors="surrogatepass"))
        found[name] = content.hexdigest()
    return found


def gather_data(
    ctx: PhaseContext, inputs: TrainingInputs, tokenizer: Any, ranks: Ranks, *, whole_share: bool
) -> PreparedData:
    """The data of this training, not packed: as it is kept, else encoded now and kept.

    The first rank does that, and tells how far it is; the others read what it kept. Raises what
    `encode_data` does, and `ResourceError` when the disk is full.
    """
    made: list[PreparedData] = []
    folder = ctx.folder / "data"

    def by_first() -> dict[str, Any]:
        kept = KeptData(folder, data_key(ctx, inputs, whole_share=whole_share))
        found = _found(ctx, kept)
        if found is None:
            found = encode_data(
                ctx.settings.train,
                tokenizer,
                inputs.cleansed,
                ctx.settings.seed,
                ctx.pause.point,
                lambda done, total: ctx.emit.progress(done, total, "rows", "tokenising the data"),
                whole_share=whole_share,
            )
            kept.write(found)
        made.append(found)
        return kept.key

    key = ranks.from_first(by_first)
    if made:
        return made[0]
    data = KeptData(folder, key).read()
    assert data is not None  # the first rank has just written or read it
    return data


def _found(ctx: PhaseContext, kept: KeptData) -> PreparedData | None:
    try:
        return kept.read()
    except CheckpointError as error:
        ctx.emit.fallback("tokenising the data anew", error.what)
        return None
