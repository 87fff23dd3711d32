"""Inputs of a crawl that fetches no page: which files they are, and what tells one from another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from so8t_core.contract.errors import InputMissing
from so8t_core.contract.files import canonical_json, sha256_file, sha256_text
from so8t_core.contract.settings.crawl import CrawlSettings

_SUFFIXES = (".warc", ".warc.gz")


def input_digests(settings: CrawlSettings) -> dict[str, str]:
    """The digest of each input by its name; none where pages are fetched.

    A data set on the hub is known by its name alone. Raises `InputMissing` where one is not there.
    """
    if settings.source == "warc":
        return {f"warc:{name}": sha256_file(path) for name, path in warc_files(settings)}
    if settings.source == "jsonl":
        return {f"jsonl:{name}": sha256_file(path) for name, path in jsonl_files(settings)}
    if settings.source == "dataset":
        return {f"dataset:{Path(settings.dataset).name}": _digest_of_set(settings)}
    return {}


def warc_files(settings: CrawlSettings) -> list[tuple[str, Path]]:
    """The WARC files that the settings name, those of folders in order of their names.

    Each with its name in the run. Raises `InputMissing` where a path does not exist or a folder
    holds none.
    """
    found: list[Path] = []
    for path in settings.warc_files:
        inside = sorted(file for file in path.glob("*") if file.name.endswith(_SUFFIXES))
        if not path.is_file() and not inside:
            raise InputMissing(
                "There is no WARC file.",
                where=str(path),
                hint="Correct crawl.warc_files: files, or folders of .warc or .warc.gz files.",
            )
        found.extend([path] if path.is_file() else inside)
    return [
        (f"input-{number:05d}{'.warc.gz' if path.name.endswith('.gz') else '.warc'}", path)
        for number, path in enumerate(found)
    ]


def jsonl_files(settings: CrawlSettings) -> list[tuple[str, Path]]:
    """The JSONL files, each with a name that no other has. Raises `InputMissing`."""
    for path in settings.jsonl_files:
        if not path.is_file():
            raise InputMissing(
                "There is no such JSONL file.", where=str(path), hint="Correct crawl.jsonl_files."
            )
    return list(zip(_told_apart(settings.jsonl_files), settings.jsonl_files, strict=True))


def _told_apart(paths: Sequence[Path]) -> list[str]:
    """The files' names; where several are called alike, all but the first get a number."""
    names: list[str] = []
    for path in paths:
        name, number = path.name, 1
        while name in names:
            number += 1
            name = f"{number}~{path.name}"
        names.append(name)
    return names


def _digest_of_set(settings: CrawlSettings) -> str:
    path = Path(settings.dataset)
    if path.is_file():
        return sha256_file(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        inside = {str(file.relative_to(path)): sha256_file(file) for file in files}
        return sha256_text(canonical_json(inside))
    return sha256_text(canonical_json([settings.dataset, settings.dataset_split]))
