"""The cleansing as a whole: its steps in their order, and the files it leaves.

    prepare   page by page: licence, record, charset, extraction, masking, language
    census    site by site: which lines a host repeats
    judge     page by page: boilerplate, safety, quality, pairs, signatures
    gather    all together: duplicates, groups, splits
    write     Parquet, ledger, card

Files in the phase's folder (columns in `tables.py`, all text but `categories`, a list of text)::

    corpus/{train,validation,test}.parquet       id url host title text licence group
    instruction/{train,validation,test}.parquet  id instruction input output rule url host
                                                 licence group
    safety/{train,validation,test}.parquet       id text label categories response url group
    thinking/{train,validation,test}.parquet     id instruction input output label synthetic rule
                                                 url host licence group
    ledger.parquet                               id url step reason detail
    dataset_card.md

`safety` serves classification and refusal only: `label` is one of `SafetyLabel`, `response` the
refusal to `text` (written by us, synthetic) and empty for ALLOW rows, which are there for
classification. Text of a label other than ALLOW is in no other data set.

Durable state is a folder `work/<key>`, whose key covers the settings, the seed, the crawl and the
code; a shard's file exists only when it is complete, so a kill repeats one shard a worker.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from so8t_core import __version__
from so8t_core.cleanse.boilerplate import LineCensus
from so8t_core.cleanse.classifier import classifier_digest, load_classifier
from so8t_core.cleanse.dataset_card import write_card
from so8t_core.cleanse.document import Drop, Judged
from so8t_core.cleanse.earlier import EarlierRuns
from so8t_core.cleanse.executors import Fleet, run_here
from so8t_core.cleanse.gather import Gathered, gather
from so8t_core.cleanse.shards import (
    Job,
    JudgeJob,
    PrepareJob,
    documents,
    judged,
    prepared,
    write_boilerplate,
)
from so8t_core.cleanse.source import IndexEntry, index_digest, read_index
from so8t_core.cleanse.split import SPLITS
from so8t_core.cleanse.tables import (
    CorpusRow,
    InstructionRow,
    Row,
    SafetyRow,
    ThinkingRow,
    write_parquet,
)
from so8t_core.cleanse.tally import Tally
from so8t_core.cleanse.thinking import thinking_rows
from so8t_core.cleanse.watch import Watch
from so8t_core.cleanse.words import require_words
from so8t_core.contract.errors import DataError
from so8t_core.contract.files import canonical_json, sha256_file, sha256_text, write_json
from so8t_core.contract.settings.cleanse import CleanseSettings

_HOW_NOT_WHAT = {
    "workers",
    "pool_min_documents",
    "executor",
    "slurm_partition",
    "slurm_time",
}  # settings that do not change the result
_BY_CONTENT = {"earlier_runs", "safety_classifier"}  # paths: what is in the files decides
_LIBRARIES = ("trafilatura", "selectolax", "fastwarc", "rensa", "datasets", "pyarrow")
_WORK = "work"
_MESSAGES = {"prepare": "reading pages", "judge": "judging texts"}
_RESULT = "result.json"
_TABLES: tuple[tuple[str, type[Row]], ...] = (
    ("corpus", CorpusRow),
    ("instruction", InstructionRow),
    ("safety", SafetyRow),
    ("thinking", ThinkingRow),
)


@dataclass(frozen=True)
class Result:
    """What a finished cleansing left: files relative to the folder with their hashes."""

    files: dict[str, str]
    figures: dict[str, Any]

    @property
    def digest(self) -> str:
        """Identity of the data: the hash of all files' hashes."""
        return sha256_text(canonical_json(self.files))


@dataclass(frozen=True)
class Cleansing:
    """One cleansing of one crawl into one folder."""

    crawl: Path
    folder: Path
    settings: CleanseSettings
    seed: int
    workers: int
    watch: Watch

    def run(self) -> Result:
        """Do what is left to do.

        Raises `InputMissing`, `InputInvalid` for the page index, `DataError` when nothing is
        kept, `ResourceError` when a worker is killed.
        """
        if self.settings.quality_preset == "fineweb2":
            require_words()
        rows = read_index(self.crawl)
        earlier = EarlierRuns(self.settings.earlier_runs)
        work = self._work_folder(rows, earlier)
        finished = self._finished(work)
        if finished is not None:
            return finished
        tally = Tally()
        first = self._prepare(work, rows, tally)
        self._census(work, first)
        second = self._judge(work, first, tally)
        self.watch.progress(len(rows), len(rows), "duplicates and splits")
        pages = sorted(
            (page for path in second for page in judged(path)),
            key=lambda page: (page.document.url, page.document.id),
        )
        permutations = self.settings.minhash_bands * self.settings.minhash_rows
        gathered = gather(
            pages, self.settings, self.seed, self.watch.point, earlier.texts(permutations)
        )
        tally.add_duplicates(
            [drop for drop in gathered.page_drops if not drop.reason.startswith("flagged_")]
        )
        if not gathered.corpus:
            raise DataError(
                f"None of {len(rows)} pages became part of the corpus.",
                where=json.dumps(tally.figures()["dropped_by_reason"]),
                hint="See which reason leads, and mend its setting or crawl other pages.",
            )
        result = self._write(gathered, _ledger(first, pages, gathered), tally)
        write_json(work / _RESULT, {"files": result.files, "figures": result.figures})
        for passed in work.iterdir():
            if passed.is_dir():
                shutil.rmtree(passed, ignore_errors=True)
        return result

    def _work_folder(self, rows: Sequence[IndexEntry], earlier: EarlierRuns) -> Path:
        """The folder of this very work; what other settings left is removed."""
        what = {
            "settings": self.settings.model_dump(mode="json", exclude=_HOW_NOT_WHAT | _BY_CONTENT),
            "seed": self.seed,
            "earlier": earlier.digests(),
            "classifier": self._classifier(),
            "index": index_digest(rows),
            "code": __version__,
            "libraries": {name: version(name) for name in _LIBRARIES},
        }
        work = self.folder / _WORK / sha256_text(canonical_json(what))[:16]
        for other in work.parent.glob("*"):
            if other != work:
                shutil.rmtree(other)
        work.mkdir(parents=True, exist_ok=True)
        return work

    def _classifier(self) -> str | None:
        """The identity of the safety classifier; it is read here, so that a bad one stops early."""
        folder = self.settings.safety_classifier
        if folder is None:
            return None
        load_classifier(folder)
        return classifier_digest(folder)

    def _finished(self, work: Path) -> Result | None:
        path = work / _RESULT
        if not path.is_file():
            return None
        result = Result(**json.loads(path.read_text(encoding="utf-8")))
        for name, digest in result.files.items():
            file = self.folder / name
            if not file.is_file() or sha256_file(file) != digest:
                path.unlink()
                return None
        return result

    def _prepare(self, work: Path, rows: Sequence[IndexEntry], tally: Tally) -> list[Path]:
        size = self.settings.shard_documents
        jobs = [
            PrepareJob(
                target=work / "prepared" / f"{start // size:05}.jsonl",
                places=tuple(row.place for row in rows[start : start + size]),
                crawl=self.crawl,
                settings=self.settings,
            )
            for start in range(0, len(rows), size)
        ]
        self._run("prepare", work, jobs, tally.add_prepared, tally)
        return [job.target for job in jobs]

    def _census(self, work: Path, shards: Sequence[Path]) -> None:
        target = work / "boilerplate.json"
        if target.is_file():
            return
        census = LineCensus(
            self.settings.boilerplate_min_pages, self.settings.boilerplate_min_share
        )
        for path in shards:
            for document in documents(path):
                census.add(document.host, document.text)
                self.watch.point()
        write_boilerplate(target, census.repeated())

    def _judge(self, work: Path, shards: Sequence[Path], tally: Tally) -> list[Path]:
        jobs = [
            JudgeJob(
                target=work / "judged" / path.name,
                source=path,
                boilerplate=work / "boilerplate.json",
                settings=self.settings,
                size=sum(1 for _ in documents(path)),
            )
            for path in shards
        ]
        self._run("judge", work, jobs, tally.add_judged, tally)
        return [job.target for job in jobs]

    def _run(
        self,
        name: Literal["prepare", "judge"],
        work: Path,
        jobs: Sequence[Job],
        count: Callable[[Path], None],
        tally: Tally,
    ) -> None:
        """Run the jobs that are not done, and count all of them."""
        left = [job for job in jobs if not job.target.is_file()]
        total = sum(job.size for job in jobs)
        before = total - sum(job.size for job in left)
        started = time.monotonic()

        def progress(done: int) -> None:
            for job in jobs:
                if job.target.is_file():
                    count(job.target)
            rate = done / max(time.monotonic() - started, 1e-3)
            self.watch.progress(before + done, total, _MESSAGES[name])
            self.watch.stats({"documents_per_s": round(rate, 1), **tally.live()})

        small = total < self.settings.pool_min_documents or self.workers == 1 or len(left) < 2
        if left and (self.settings.executor != "local" or not small):
            Fleet(name, work, left, self.settings, self.workers, self.watch, progress).run()
        else:
            run_here(left, self.watch, progress)
        progress(total - before)

    def _write(self, gathered: Gathered, ledger: Sequence[Drop], tally: Tally) -> Result:
        """Write every file; the card last, since it names the others' hashes."""
        gathered.thinking, left_out = thinking_rows(
            gathered.instruction, gathered.safety, ledger, self.settings
        )
        files: dict[str, str] = {}
        sizes: dict[str, dict[str, int]] = {}
        for name, kind in _TABLES:
            rows: Sequence[Row] = getattr(gathered, name)
            sizes[name] = {}
            for split in SPLITS:
                self.watch.point()
                part = [
                    row
                    for row in rows
                    if not isinstance(row, Drop) and gathered.split_of[row.group] == split
                ]
                relative = f"{name}/{split}.parquet"
                write_parquet(self.folder / relative, kind, part)
                files[relative] = sha256_file(self.folder / relative)
                sizes[name][split] = len(part)
        write_parquet(self.folder / "ledger.parquet", Drop, ledger)
        files["ledger.parquet"] = sha256_file(self.folder / "ledger.parquet")
        figures = {
            **tally.figures(),
            **_data_figures(gathered, sizes),
            "thinking_left_out": left_out,
        }
        card = self.folder / "dataset_card.md"
        write_card(card, gathered, figures, files)
        files[card.name] = sha256_file(card)
        return Result(files, figures)


def _ledger(
    shards: Sequence[Path], pages: Sequence[Judged], gathered: Gathered
) -> tuple[Drop, ...]:
    """Every drop of a page or a pair, and what was masked or cut on the pages that went on."""
    rows: list[Drop] = []
    for path in shards:
        for line in prepared(path):
            if line.drop is not None:
                rows.append(line.drop)
            if line.document is not None:
                page = {"id": line.document.id, "url": line.document.url, "step": "mask"}
                rows += [
                    Drop(**page, reason=kind, detail=f"{count} masked")
                    for kind, count in line.personal_data.items()
                ]
    for judgement in pages:
        page = {"id": judgement.document.id, "url": judgement.document.url}
        if judgement.boilerplate_lines:
            detail = f"{judgement.boilerplate_lines} lines cut"
            rows.append(Drop(**page, step="boilerplate", reason="repeated_lines", detail=detail))
        rows += [judgement.drop] if judgement.drop is not None else []
        rows += judgement.dropped_pairs
    return (*rows, *gathered.page_drops, *gathered.passages, *gathered.pair_drops)


def _data_figures(gathered: Gathered, sizes: dict[str, dict[str, int]]) -> dict[str, Any]:
    rules = Counter(row.rule for row in gathered.instruction)
    licences = Counter(row.licence for row in gathered.corpus)
    labels = Counter(row.label for row in gathered.safety)
    pair_drops = Counter(f"{drop.step}:{drop.reason}" for drop in gathered.pair_drops)
    return {
        "rows": sizes,
        "characters_out": sum(len(row.text) for row in gathered.corpus),
        "text_bytes_out": sum(len(row.text.encode()) for row in gathered.corpus),
        "pairs_by_rule": dict(sorted(rules.items())),
        "pairs_dropped": dict(sorted(pair_drops.items())),
        "safety_rows_by_label": dict(sorted(labels.items())),
        "pages_by_licence": dict(sorted(licences.items())),
        "hosts": len({row.host for row in gathered.corpus}),
        "groups": len(gathered.split_of),
        "pages_with_repeated_passages": len(gathered.passages),
        "groups_moved_at_border": len(gathered.border_moves),
    }
