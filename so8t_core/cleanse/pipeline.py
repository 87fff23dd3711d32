"""The cleansing as a whole: its steps in their order, and the files it leaves.

    prepare   page by page: licence, record, charset, extraction, masking, language
    census    site by site: which lines a host repeats
    judge     page by page: boilerplate, safety, quality, pairs, signatures
    gather    all together: duplicates, groups, splits
    write     Parquet, ledger, card

Files in the phase's folder (columns in `tables.py`, all text but `categories`, a list of text)::

    corpus/{train,validation,test}.parquet       id url host title text date language licence
                                                 group
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

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from so8t_core import __version__
from so8t_core.cleanse.boilerplate import LineCensus
from so8t_core.cleanse.catalogue import Catalogue, ShardPair
from so8t_core.cleanse.classifier import classifier_digest, load_classifier
from so8t_core.cleanse.document import Drop
from so8t_core.cleanse.earlier import EarlierRuns
from so8t_core.cleanse.executors import Fleet, died_here, run_here
from so8t_core.cleanse.gather import Gathered, gather
from so8t_core.cleanse.items import Items
from so8t_core.cleanse.shards import (
    Job,
    JudgeJob,
    PrepareJob,
    documents,
    judged,
    prepared,
    write_boilerplate,
)
from so8t_core.cleanse.source import PageIndex, read_index
from so8t_core.cleanse.tally import Tally
from so8t_core.cleanse.watch import Watch
from so8t_core.cleanse.words import require_words
from so8t_core.cleanse.writing import DataSets, Ledger
from so8t_core.contract.errors import DataError
from so8t_core.contract.files import canonical_json, sha256_file, sha256_text, write_json
from so8t_core.contract.settings.cleanse import CleanseSettings

_HOW_NOT_WHAT = {
    "workers",
    "pool_min_documents",
    "executor",
    "slurm_partition",
    "slurm_time",
    "page_timeout_s",
}  # settings that do not change the result
_BY_CONTENT = {"earlier_runs", "safety_classifier"}  # paths: what is in the files decides
_LIBRARIES = ("resiliparse", "selectolax", "fastwarc", "rensa", "datasets", "pyarrow")
_WORK = "work"
_SORTING = "sorting"
_MESSAGES = {"prepare": "reading pages", "judge": "judging texts"}
_RESULT = "result.json"
_TELL_EVERY_S = 0.1


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
        index = read_index(self.crawl, _emptied(self.folder / _WORK / _SORTING))
        earlier = EarlierRuns(self.settings.earlier_runs)
        work = self._work_folder(index, earlier)
        finished = self._finished(work)
        if finished is not None:
            return finished
        tally = Tally()
        first = self._prepare(work, index, tally)
        self._census(work, first)
        second = self._judge(work, first, tally)
        self.watch.progress(len(index), len(index), "duplicates and splits")
        result = self._gather(work, first, second, earlier, tally)
        write_json(work / _RESULT, {"files": result.files, "figures": result.figures})
        for passed in work.iterdir():
            if passed.is_dir():
                shutil.rmtree(passed, ignore_errors=True)
        return result

    def _work_folder(self, index: PageIndex, earlier: EarlierRuns) -> Path:
        """The folder of this very work; what other settings or other code left is removed."""
        what = {
            "settings": self.settings.model_dump(mode="json", exclude=_HOW_NOT_WHAT | _BY_CONTENT),
            "seed": self.seed,
            "earlier": earlier.digests(),
            "classifier": self._classifier(),
            "index": index.digest,
            "version": __version__,
            "code": code_digest(),
            "libraries": {name: version(name) for name in _LIBRARIES},
        }
        work = self.folder / _WORK / sha256_text(canonical_json(what))[:16]
        others = [path for path in work.parent.glob("*") if path != work]
        if any(path.name != _SORTING for path in others):
            self.watch.note(
                "What is half done was made by other settings, inputs or code; it begins anew."
            )
        for other in others:
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

    def _prepare(self, work: Path, index: PageIndex, tally: Tally) -> list[Path]:
        size = self.settings.shard_documents
        jobs = [
            PrepareJob(
                target=work / "prepared" / f"{start // size:05}.jsonl",
                places=index.places[start : start + size],
                crawl=self.crawl,
                settings=self.settings,
            )
            for start in range(0, len(index), size)
        ]
        self._run("prepare", work, jobs, tally.add_prepared, tally)
        return [job.target for job in jobs]

    def _census(self, work: Path, shards: Sequence[Path]) -> None:
        target = work / "boilerplate.json"
        if target.is_file():
            return
        census = LineCensus(
            self.settings.boilerplate_min_pages,
            self.settings.boilerplate_min_share,
            _emptied(work / "census"),
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
        uncounted = list(jobs)
        told = float("-inf")

        def tell(done: int) -> None:
            for job in [job for job in uncounted if job.target.is_file()]:
                count(job.target)
                uncounted.remove(job)
            rate = done / max(time.monotonic() - started, 1e-3)
            self.watch.progress(before + done, total, _MESSAGES[name])
            self.watch.stats({"documents_per_s": round(rate, 1), **tally.live()})

        def progress(done: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _TELL_EVERY_S:
                tell(done)
                told = time.monotonic()

        small = total < self.settings.pool_min_documents or self.workers == 1 or len(left) < 2
        small = small and not died_here(left)
        if left and (self.settings.executor != "local" or not small):
            Fleet(name, work, left, self.settings, self.workers, self.watch, progress).run()
        else:
            run_here(left, self.watch, progress)
        tell(total - before)

    def _gather(
        self,
        work: Path,
        first: Sequence[Path],
        second: Sequence[Path],
        earlier: EarlierRuns,
        tally: Tally,
    ) -> Result:
        """Duplicates, splits and all files; nothing of it is durable before the last file is."""
        scratch, point = _emptied(work / "gather"), self.watch.point
        ledger = _ledger(scratch, first, second, point)
        permutations = self.settings.minhash_bands * self.settings.minhash_rows
        shards = [ShardPair(*paths) for paths in zip(first, second, strict=True)]
        catalogue = Catalogue.of(shards, Items(scratch, permutations), scratch, point)
        known = earlier.texts(permutations)
        gathered = gather(catalogue, self.settings, self.seed, scratch, ledger.note, point, known)
        tally.add_duplicates(
            {
                reason: count
                for reason, count in gathered.page_drops.items()
                if not reason.startswith("flagged_")
            }
        )
        if gathered.empty:
            raise self._nothing_kept(tally)
        return self._write(gathered, ledger, tally, scratch)

    def _nothing_kept(self, tally: Tally) -> DataError:
        return DataError(
            f"None of {tally.documents} pages became part of the corpus.",
            where=json.dumps(tally.figures()["dropped_by_reason"]),
            hint="See which reason leads, and mend its setting or crawl other pages.",
        )

    def _write(self, gathered: Gathered, ledger: Ledger, tally: Tally, scratch: Path) -> Result:
        """Write every file; the card last, since it names the others' hashes."""
        data = DataSets(self.folder, self.settings, scratch)
        data.write(gathered, self.watch.point)
        data.write_ledger(ledger)
        figures = {**tally.figures(), **data.figures(gathered)}
        data.write_card(figures)
        return Result(data.files, figures)


def code_digest() -> str:
    """Identity of the code and the shipped tables that decide what becomes of a page."""
    digest = hashlib.sha256()
    for file in sorted(resources.files("so8t_core.cleanse").iterdir(), key=lambda file: file.name):
        if file.is_file():
            digest.update(f"{file.name}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _emptied(folder: Path) -> Path:
    """A folder for what a kill may leave half-written."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _ledger(
    scratch: Path, first: Sequence[Path], second: Sequence[Path], tick: Callable[[], None]
) -> Ledger:
    """Every drop of the two passes, and what was masked or cut on the pages that went on."""
    ledger = Ledger(scratch)
    for path in first:
        for line in prepared(path):
            tick()
            if line.drop is not None:
                ledger.note(line.drop)
            if line.document is not None:
                page = {"id": line.document.id, "url": line.document.url, "step": "mask"}
                for kind, count in line.personal_data.items():
                    ledger.note(Drop(**page, reason=kind, detail=f"{count} masked"))
    for path in second:
        for judgement in judged(path):
            tick()
            page = {"id": judgement.document.id, "url": judgement.document.url}
            if judgement.boilerplate_lines:
                cut = {"step": "boilerplate", "reason": "repeated_lines"}
                detail = f"{judgement.boilerplate_lines} lines cut"
                ledger.note(Drop(**page, **cut, detail=detail))
            for drop in (judgement.drop, *judgement.dropped_pairs):
                if drop is not None:
                    ledger.note(drop)
    return ledger
