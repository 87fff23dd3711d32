import random
import tracemalloc

import numpy as np
import pytest

from so8t_core.cleanse import items as items_module
from so8t_core.cleanse import tables, text_store
from so8t_core.cleanse.catalogue import Catalogue
from so8t_core.cleanse.gather import gather
from so8t_core.cleanse.items import Items
from so8t_core.cleanse.sorting import Sorter
from so8t_core.cleanse.spill import Spill
from so8t_core.cleanse.tables import CorpusRow, TableWriter
from so8t_core.contract.settings.cleanse import CleanseSettings
from tests.cleanse.judged_shards import write_shards


def peak_of(folder, texts):
    """Bytes that Python objects and arrays take at most while the texts are gathered and written."""
    shards = write_shards(folder / "shards", texts, 128)
    tracemalloc.start()
    try:
        items = Items(folder, 128)
        catalogue = Catalogue.of(shards, items, folder, lambda: None)
        gathered = gather(catalogue, CleanseSettings(), 0, folder, lambda _: None, lambda: None)
        writer = TableWriter(folder / "corpus.parquet", CorpusRow, folder)
        for *_, rows in gathered.rows_by_page():
            for row in rows.corpus:
                writer.add(row)
        writer.close()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_texts(tmp_path, monkeypatch):
    """With small buffers, which fill once and then stay as they are."""
    monkeypatch.setattr(items_module, "_SHINGLES_HELD_BYTES", 100_000)
    monkeypatch.setattr(text_store, "_BUFFER_BYTES", 10_000)
    monkeypatch.setattr(tables, "_BATCH_CHARACTERS", 10_000)
    random_ = random.Random(4)
    letters = range(0x4E00, 0x9000)
    texts = ["".join(map(chr, random_.choices(letters, k=3000))) for _ in range(60)]
    peak_of(tmp_path / "warm", texts[:2])
    growth = peak_of(tmp_path / "many", texts) - peak_of(tmp_path / "few", texts[:15])
    assert growth < sum(len(text.encode()) for text in texts[15:]) / 3


@pytest.mark.parametrize("count", [0, 1, 19_999, 20_000, 45_001])
def test_rows_are_sorted_across_runs(tmp_path, count):
    random_ = random.Random(count)
    rows = [
        (f"行{random_.randrange(1000)}", random_.randrange(10), number) for number in range(count)
    ]
    sorter = Sorter(tmp_path, "rows")
    for row in rows:
        sorter.add(*row)
    assert list(sorter) == sorted(rows)
    assert list(sorter) == sorted(rows)


@pytest.mark.parametrize("bound", [1 << 64, 1000])
def test_spilled_records_come_back_by_key_and_all_of_them(tmp_path, bound):
    dtype = np.dtype([("key", np.uint64), ("value", np.uint32)])
    random_ = np.random.default_rng(1)
    spill = Spill(tmp_path, "some", dtype, bound)
    records = np.zeros(200_000, dtype=dtype)
    records["key"] = random_.integers(0, bound, size=len(records), dtype=np.uint64)
    records["value"] = random_.integers(0, 5, size=len(records))
    for part in np.array_split(records, 7):
        spill.add(part)
    assert (np.concatenate(list(spill.ranges())) == np.sort(records)).all()
    assert sum(map(len, spill.ranges())) == spill.count == len(records)
