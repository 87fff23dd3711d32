"""Model folders as they are read: configuration, shards, and the files that travel with them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from so8t_core.contract.errors import InputMissing, ModelError
from so8t_core.contract.files import canonical_json
from so8t_core.model.tokenizer_code import TOKENIZER_CONFIG_FILE, tokenizer_code

if TYPE_CHECKING:
    import torch

CONFIG_FILE = "config.json"
SINGLE_FILE = "model.safetensors"
GENERATION_FILE = "generation_config.json"
INDEX_FILE = "model.safetensors.index.json"

_COMPANIONS = (
    "tokenizer.json",
    "tokenizer.model",
    TOKENIZER_CONFIG_FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    GENERATION_FILE,
    "LICENSE*",
    "NOTICE*",
)
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")

DTYPE_CODES = {
    "float64": "F64",
    "float32": "F32",
    "bfloat16": "BF16",
    "float16": "F16",
}
"""Names of dtypes in torch, and in a safetensors header."""
_PIECE = 1 << 20
_CODE_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}


@dataclass(frozen=True)
class TensorEntry:
    """One stored tensor: `dtype` as safetensors spells it (F32, BF16, ...), `file` its shard."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    file: str

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def size_bytes(self) -> int:
        """How many bytes it takes in its file."""
        return self.elements * _CODE_BYTES[self.dtype]


@dataclass(frozen=True)
class ModelFolder:
    """A Hugging Face model folder whose weights are safetensors. Reading it loads no weights."""

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorEntry]

    @classmethod
    def read(cls, path: Path) -> ModelFolder:
        """Read configuration and shard headers.

        Raises `InputMissing` where there is no folder or no file of weights, `ModelError` where a
        file is damaged or the index and the shards disagree.
        """
        config = read_config(path)
        tensors: dict[str, TensorEntry] = {}
        for file in _shard_names(path):
            for entry in _read_header(path, file):
                if entry.name in tensors:
                    raise ModelError(
                        f"The tensor {entry.name} is stored twice.",
                        where=f"{path / tensors[entry.name].file} and {path / file}",
                        hint="Fetch or save the model again.",
                    )
                tensors[entry.name] = entry
        folder = cls(path, config, tensors)
        folder._check_index()
        return folder

    def _check_index(self) -> None:
        index = self.path / INDEX_FILE
        if not index.is_file() or (self.path / SINGLE_FILE).is_file():
            return
        listed = _weight_map(index)
        for name in sorted(set(listed) ^ set(self.tensors)):
            raise ModelError(
                f"The index and the shards disagree about the tensor {name}.",
                where=str(index),
                hint="Fetch the model again; a shard is missing or from another version.",
            )

    @property
    def dtype(self) -> str:
        """Name in torch of the dtype that most of the weights have, such as `bfloat16`."""
        sizes: dict[str, int] = {}
        for entry in self.tensors.values():
            sizes[entry.dtype] = sizes.get(entry.dtype, 0) + entry.elements
        names = {code: name for name, code in DTYPE_CODES.items()}
        return names[max(sizes, key=lambda code: sizes[code])]

    @property
    def shards(self) -> tuple[str, ...]:
        """Shard file names, sorted."""
        return tuple(sorted({entry.file for entry in self.tensors.values()}))

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer lies beside the weights."""
        return any((self.path / name).is_file() for name in _TOKENIZER_FILES)

    def companions(self) -> tuple[Path, ...]:
        """Files that travel with the weights: tokenizer, chat template, generation, licence."""
        found = {path for pattern in _COMPANIONS for path in self.path.glob(pattern)}
        found |= {self.path / name for name in tokenizer_code(self.path)}
        return tuple(sorted(path for path in found if path.is_file()))

    def copy_companions(self, target: Path) -> tuple[str, ...]:
        """Copy them into `target`; returns their names relative to the folder."""
        names = []
        for source in self.companions():
            name = source.relative_to(self.path)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
            names.append(name.as_posix())
        return tuple(names)

    @contextmanager
    def opened(self, shard: str) -> Iterator[ShardReader]:
        """Open one shard for reading single tensors."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / shard, framework="pt", device="cpu") as file:
                yield ShardReader(file)
        except SafetensorError as error:
            raise _damaged(self.path / shard, str(error)) from error

    def read_tensor(self, name: str) -> torch.Tensor:
        """One tensor by name, in its stored dtype."""
        with self.opened(self.tensors[name].file) as shard:
            return shard.read(name)


@dataclass(frozen=True)
class ShardReader:
    """Reads single tensors of an open shard, mapped from the file until they are changed."""

    file: Any

    def read(self, name: str) -> torch.Tensor:
        """The tensor of that name."""
        tensor: torch.Tensor = self.file.get_tensor(name)
        return tensor


def read_config(path: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises `InputMissing` where there is none, `ModelError` where it is no JSON object.
    """
    file = path / CONFIG_FILE
    if not os.path.isfile(file):  # unlike Path's, False for a name that is too long
        raise InputMissing(
            "This is no model folder: it has no config.json.",
            where=str(path),
            hint="Give the folder that holds config.json and the .safetensors files.",
        )
    return read_json(file)


def read_json(
    path: Path, whose: str = "of the model", *, hint: str = "Fetch the model again."
) -> dict[str, Any]:
    """The JSON object in a file from outside. Raises `ModelError` where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        canonical_json(value).encode()  # no NaN, infinity or lone surrogate: it is written again
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"A file {whose} cannot be read as JSON.", where=str(path), hint=hint
        ) from error
    if not isinstance(value, dict):
        raise ModelError(f"A file {whose} is no JSON object.", where=str(path), hint=hint)
    return value


def _shard_names(path: Path) -> tuple[str, ...]:
    if (path / SINGLE_FILE).is_file():
        return (SINGLE_FILE,)
    if not (path / INDEX_FILE).is_file():
        raise InputMissing(
            "The model folder holds no safetensors weights.",
            where=str(path),
            hint="Convert older .bin weights with transformers' save_pretrained first.",
        )
    names = tuple(sorted(set(_weight_map(path / INDEX_FILE).values())))
    for name in names:
        if Path(name).name != name:
            raise ModelError(
                "The index names a shard outside of the model folder.",
                where=str(path / INDEX_FILE),
                hint="Do not use this model; its index was tampered with.",
            )
        if not (path / name).is_file():
            raise ModelError(
                f"The shard {name} is missing.",
                where=str(path),
                hint="Fetch the model again; the download was not complete.",
            )
    return names


def _weight_map(index: Path) -> dict[str, str]:
    listed = read_json(index).get("weight_map")
    if isinstance(listed, dict) and listed and all(isinstance(one, str) for one in listed.values()):
        return listed
    raise ModelError(
        "The index's weight_map does not name a shard for each tensor.",
        where=str(index),
        hint="Fetch the model again.",
    )


def _read_header(path: Path, shard: str) -> Iterator[TensorEntry]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path / shard, framework="pt", device="cpu") as file:
            for name in file.keys():  # noqa: SIM118  not a mapping
                part = file.get_slice(name)
                yield TensorEntry(name, tuple(part.get_shape()), part.get_dtype(), shard)
    except (SafetensorError, OSError) as error:
        raise _damaged(path / shard, str(error)) from error


def _damaged(path: Path, detail: str) -> ModelError:
    return ModelError(
        f"A file of weights is damaged or cut short ({detail}).",
        where=str(path),
        hint="Fetch or save the model again.",
    )


def dtype_code(dtype: torch.dtype) -> str:
    """The name of a torch dtype in a safetensors header, such as F32."""
    return DTYPE_CODES[dtype_name(dtype)]


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a torch dtype, such as `bfloat16`."""
    return str(dtype).removeprefix("torch.")


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a name such as `bfloat16`."""
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return dtype


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether it holds neither NaN nor infinity; looked at in pieces that fit the cache."""
    flat = tensor.reshape(-1)
    starts = range(0, flat.numel(), _PIECE)
    return all(bool(flat[start : start + _PIECE].isfinite().all()) for start in starts)
