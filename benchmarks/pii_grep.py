"""Searches everything that a run of the demo left for the personal data planted in its pages.

    so8t demo --tiny --headless --runs-dir /tmp/demo
    python benchmarks/pii_grep.py /tmp/demo/RUN

Databases and Parquet files are read row by row, all other files as bytes. Left out are WARC files,
which hold the pages as they were sent, and model weights. Exits with 1 where a value is found.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from so8t_core.demo.facts import gather_facts

LEFT_OUT = (".warc", ".safetensors", ".gguf")


def texts(path: Path) -> Iterator[str]:
    """All texts of a file."""
    if path.suffix == ".parquet":
        yield from map(str, pq.read_table(path).to_pylist())
    elif path.suffix in (".db", ".sqlite", ".sqlite3"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            query = "select name from sqlite_master where type = 'table'"
            for (table,) in database.execute(query).fetchall():
                yield from map(str, database.execute(f'select * from "{table}"'))
    else:
        yield path.read_bytes().decode("utf-8", "replace")


def main() -> None:
    """Print what was searched and every hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    planted = {value.value for values in gather_facts().personal.values() for value in values}
    searched, hits = 0, 0
    for path in sorted(arguments.run.rglob("*")):
        if not path.is_file() or any(part in LEFT_OUT for part in path.suffixes):
            continue
        searched += 1
        found = {value for text in texts(path) for value in planted if value in text}
        for value in sorted(found):
            hits += 1
            print(f"{path.relative_to(arguments.run)}: {value}")
    print(f"{len(planted)} planted values, {searched} files searched, {hits} hits")
    sys.exit(hits > 0)


if __name__ == "__main__":
    main()
