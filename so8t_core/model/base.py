"""From the setting `model.base` to a folder on this machine, and the identity of its content."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from so8t_core.contract.errors import InputMissing, ModelError, Unreachable
from so8t_core.contract.files import (
    canonical_json,
    replacing_folder,
    sha256_file,
    sha256_text,
    write_text,
)
from so8t_core.contract.manifest import BASE_MODEL
from so8t_core.contract.settings.model import STARTER, TINY, ModelSettings
from so8t_core.model.loading import quiet_transformers
from so8t_core.model.weights import CONFIG_FILE, ModelFolder, read_json

INTEGRATION_FILE = "integration.json"
"""What integration writes beside the weights; has the hashes of the shards."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BUILD = 1
"""Raised whenever the built models change, so that an older cache is not taken for them."""
_HUB_FILES = (
    "*.json",
    "*.safetensors",
    "*.jinja",
    "*.py",  # a tokenizer may have code of its own; nothing of it runs unless the settings say so
    "tokenizer.model",
    "merges.txt",
    "LICENSE*",
    "NOTICE*",
)


def cache_folder() -> Path:
    """Where built models and digests are kept: $XDG_CACHE_HOME/so8t or ~/.cache/so8t."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "so8t"


def resolve_base(settings: ModelSettings, *, seed: int) -> Path:
    """The folder of the base model; `starter` and `tiny` are built on first use and cached.

    `seed` decides the weights of `tiny`. Raises `InputMissing` where there is no such model and
    `Unreachable` where the hub gives no answer.
    """
    if settings.base == STARTER:
        from so8t_core.model.starter import build_starter, starter_source

        source = digest_of_file(starter_source())[:12]
        return _built(f"starter-{source}-{_BUILD}", lambda folder: _ignore(build_starter(folder)))
    if settings.base == TINY:
        from so8t_core.model.tiny import build_tiny

        return _built(f"tiny-{seed}-{_BUILD}", lambda folder: build_tiny(folder, seed=seed))
    folder = Path(settings.base)
    if folder.is_dir():
        return folder.absolute()
    if folder.is_absolute() or settings.base.count("/") != 1:
        raise InputMissing(
            "There is no such model folder.",
            where=settings.base,
            hint="Set model.base to a folder with config.json and .safetensors files, to a hub "
            "name such as owner/name, to `starter` or to `tiny`.",
        )
    return _from_hub(settings)


def own_base(settings: ModelSettings) -> Path | None:
    """The folder of the user's that `model.base` names; None for built models and the hub's.

    A relative name is one of the hub's unless there is such a folder now.
    """
    base = Path(settings.base)
    return base if base.is_absolute() or base.is_dir() else None


def base_input(folder: Path | None) -> dict[str, str]:
    """How a manifest names a folder of the user's among its inputs; nothing where there is none.

    Raises as `digest_of`.
    """
    return {} if folder is None else {BASE_MODEL: digest_of(folder)}


def _ignore(_: object) -> None:
    """Drop a builder's report: the cache keeps the folder alone."""


def _from_hub(settings: ModelSettings) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.errors import RepositoryNotFoundError as NotFound
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    where = f"{settings.base}@{settings.revision or 'main'}"
    try:
        return Path(
            snapshot_download(
                settings.base, revision=settings.revision, allow_patterns=list(_HUB_FILES)
            )
        )
    except (NotFound, NoRevision, HFValidationError) as error:
        raise InputMissing(
            "The hub has no such model, or it needs a login.",
            where=where,
            hint="Check model.base and model.revision; for a gated model set HF_TOKEN.",
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise Unreachable(
            f"The model could not be fetched from the hub ({type(error).__name__}).",
            where=where,
            hint="Check the network, or set model.base to a folder on this machine.",
        ) from error


def _built(name: str, build: Callable[[Path], None]) -> Path:
    """The cached folder of that name, built under a lock unless it is there and unchanged."""
    folder = cache_folder() / "models" / name
    seal = folder.with_name(f"{name}.sha256")
    with _locked(folder.with_name(f"{name}.lock")):
        if not (folder.is_dir() and seal.is_file() and digest_of(folder) == seal.read_text()):
            with replacing_folder(folder) as partial, quiet_transformers():
                build(partial)
            write_text(seal, digest_of(folder))
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest_of(folder: Path) -> str:
    """Identity of a model folder's content, wherever it lies: weights, configuration, tokenizer.

    Hex SHA-256 over the names and hashes of those files. The hash of a large file is remembered in
    the cache under its path, size, inode and times of change, so the second call takes
    milliseconds. Raises as `ModelFolder.read`.
    """
    model = ModelFolder.read(folder)
    files = [folder / CONFIG_FILE, *(folder / shard for shard in model.shards)]
    hashes = {
        file.relative_to(folder).as_posix(): digest_of_file(file)
        for file in (*files, *model.companions())
    }
    return sha256_text(canonical_json(hashes))


def digest_of_weights(folder: Path) -> str:
    """Identity of a model folder's weights alone: a tokenizer or template may change beside them.

    Raises as `ModelFolder.read`.
    """
    model = ModelFolder.read(folder)
    return sha256_text(
        canonical_json({shard: digest_of_file(folder / shard) for shard in model.shards})
    )


def check_hashes(model: ModelFolder) -> int:
    """Compare the shards with the hashes that are known of them; returns how many had one.

    Known are those of a file from the hub (in its cache it is stored under its SHA-256, in a folder
    of the user's the download left a note of it) and those that integration wrote into
    integration.json. Raises `ModelError` for a shard that differs.
    """
    recorded = _recorded_hashes(model)
    known = 0
    for shard in model.shards:
        path = model.path / shard
        expected = recorded.get(shard) or _hash_at_the_hub(model.path, shard)
        if expected is None:
            continue
        known += 1
        if digest_of_file(path) != expected:
            raise ModelError(
                f"The shard {shard} is not the one whose hash is on record.",
                where=str(path),
                hint="Fetch the model again, or integrate its base again; these weights were "
                "damaged or changed. If you changed them on purpose, remove .cache beside them.",
            )
    return known


def _hash_at_the_hub(folder: Path, shard: str) -> str | None:
    """What the hub said of a downloaded file; None where it said nothing or no SHA-256.

    Below a folder given with --local-dir, huggingface_hub keeps for each file the lines commit,
    etag and time; the etag of a large file is its SHA-256, and so is its name in the hub's cache.
    """
    stored_as = (folder / shard).resolve().name
    if _SHA256.fullmatch(stored_as):
        return stored_as
    note = folder / ".cache" / "huggingface" / "download" / f"{shard}.metadata"
    try:
        lines = note.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    etag = lines[1].strip() if len(lines) > 1 else ""
    return etag if _SHA256.fullmatch(etag) else None


def _recorded_hashes(model: ModelFolder) -> dict[str, str]:
    """The hashes in integration.json, which must name every shard; none where there is no such."""
    record = model.path / INTEGRATION_FILE
    if not record.exists():
        return {}
    again = "Integrate the base again."
    shards = read_json(record, "of the model", hint=again).get("shards")
    if not isinstance(shards, dict) or not all(
        isinstance(shards.get(shard), str) and _SHA256.fullmatch(shards[shard])
        for shard in model.shards
    ):
        raise ModelError(
            "The record of integration does not have the hash of each shard.",
            where=str(record),
            hint=again,
        )
    return shards


def digest_of_file(path: Path) -> str:
    """Hex SHA-256 of a file; that of a large one is remembered in the cache, see `digest_of`."""
    status = path.stat()
    if status.st_size < 1 << 20:
        return sha256_file(path)
    identity = [
        str(path.resolve()),
        status.st_size,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
    ]
    digests = cache_folder() / "digests"
    known = digests / sha256_text(canonical_json(identity))
    with _locked(digests / "lock"):
        if known.is_file():
            return known.read_text()
        digest = sha256_file(path)
        write_text(known, digest)
    return digest
