"""Peak memory of the phase's own process from 10^4 to 10^6 documents.

    python benchmarks/cleanse_memory.py --unpacked DIR [--sizes 10000 100000] [--json OUT]

Documents are put together from real paragraphs of Debian's Japanese documentation (unpacked
packages of benchmarks/quality.py), about 200 characters each; a twelfth are near-copies of the ones
before. Each size runs in a process of its own, which does what the phase does beside its workers:
sorting the page index, counting repeated lines, duplicates, passages, splits, the check at the
border, and writing all files. What workers do is one document at a time and is left out: their
shards are written before. Memory is the highest resident set, of which the signatures' file, mapped
into memory, is a part; the slope between sizes is given in bytes a document.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

CHARACTERS = 200
BANDS, ROWS = 32, 4


def texts(unpacked: Path, count: int) -> Iterator[str]:
    """Documents of real paragraphs."""
    from benchmarks.cleanse import paragraphs

    chance = random.Random(11)
    pool = paragraphs(unpacked)
    last = ""
    for number in range(count):
        if number % 12 == 11:
            place = chance.randrange(len(last))
            last = f"{last[:place]}{number}{last[place:]}"
        else:
            last = ""
            while len(last) < CHARACTERS:
                paragraph = chance.choice(pool)
                start = chance.randrange(max(1, len(paragraph) - 60))
                last += paragraph[start : start + chance.randrange(60, 200)] + "\n"
        yield last


def write_index(crawl: Path, count: int) -> None:
    """A page index of as many pages, in no order."""
    crawl.mkdir()
    with (crawl / "pages.jsonl").open("w") as file:
        for number in range(count):
            place = number * 7919 % count
            name = hashlib.sha256(str(place).encode()).hexdigest()
            url = f"http://host{place % 211}.example/{place:07}"
            row = {"url": url, "sha256": name, "warc": "a.warc.gz", "offset": place, "length": 1}
            file.write(json.dumps(row) + "\n")


def phase(folder: Path) -> dict[str, Any]:
    """What the phase does beside its workers, over the shards in a folder."""
    from so8t_core.cleanse.boilerplate import LineCensus
    from so8t_core.cleanse.catalogue import Catalogue, ShardPair
    from so8t_core.cleanse.gather import gather
    from so8t_core.cleanse.items import Items
    from so8t_core.cleanse.shards import documents
    from so8t_core.cleanse.source import read_index
    from so8t_core.cleanse.writing import DataSets, Ledger
    from so8t_core.contract.settings.cleanse import CleanseSettings

    def nothing() -> None:
        pass

    timing: dict[str, float] = {}
    peaks: dict[str, float] = {}
    started = time.perf_counter()

    def done(step: str) -> None:
        nonlocal started
        timing[step] = round(time.perf_counter() - started, 1)
        peaks[step] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
        started = time.perf_counter()

    done("imports")
    settings = CleanseSettings()
    index = read_index(folder / "crawl", folder / "sorting")
    done("index")
    shards = [
        ShardPair(path, folder / "shards" / "judged" / path.name)
        for path in sorted((folder / "shards" / "prepared").iterdir())
    ]
    census = LineCensus(5, 0.3, folder / "census")
    for shard in shards:
        for document in documents(shard.prepared):
            census.add(document.host, document.text)
    census.repeated()
    done("census")
    scratch = folder / "gather"
    ledger = Ledger(scratch)
    items = Items(scratch, BANDS * ROWS)
    catalogue = Catalogue.of(shards, items, scratch, nothing)
    done("catalogue")
    gathered = gather(catalogue, settings, 0, scratch, ledger.note, nothing)
    done("gather")
    data = DataSets(folder / "data", settings, scratch)
    data.write(gathered, nothing)
    data.write_ledger(ledger)
    data.write_card({**_no_figures(), **data.figures(gathered)})
    done("write")
    return {
        "documents": len(index),
        "kept": sum(data.rows["corpus"].values()),
        "peak_mib": peaks["write"],
        "peak_mib_after": peaks,
        "signatures_mib": round(len(items) * BANDS * ROWS * 4 / 2**20, 1),
        "seconds": timing,
    }


def _no_figures() -> dict[str, Any]:
    return {"dropped_by_reason": {}, "personal_data_masked": {}}


def measure(unpacked: Path, count: int) -> dict[str, Any]:
    """One size: shards in this process, the phase in another."""
    from tests.cleanse.judged_shards import write_shards

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_shards(folder / "shards", texts(unpacked, count), BANDS * ROWS)
        write_index(folder / "crawl", count)
        command = [sys.executable, __file__, "--phase", name]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        figures: dict[str, Any] = json.loads(found.stdout)
        return figures


def main() -> None:
    """Print all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unpacked", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--phase", type=Path)
    arguments = parser.parse_args()
    if arguments.phase:
        print(json.dumps(phase(arguments.phase)))
        return
    found = []
    for count in arguments.sizes:
        found.append(measure(arguments.unpacked, count))
        print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    slopes = [
        (larger["peak_mib"] - smaller["peak_mib"])
        * 2**20
        / (larger["documents"] - smaller["documents"])
        for smaller, larger in pairwise(found)
    ]
    figures = {
        "sizes": found,
        "signature_bytes_a_document": BANDS * ROWS * 4,
        "bytes_a_document_between_sizes": [round(slope) for slope in slopes],
    }
    print(json.dumps(figures, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
