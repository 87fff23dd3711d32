"""Shards as the two passes leave them, of documents that were made: what gathering starts from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from so8t_core.cleanse.catalogue import ShardPair
from so8t_core.cleanse.dedup import sign
from so8t_core.cleanse.document import Document, Judged, Licence, Prepared, identifier

_SHARD_DOCUMENTS = 1000


def judged(number: int, text: str, signature: str) -> Judged:
    """A page that is kept, without pairs."""
    host = f"host{number % 211}.example"
    url = f"http://{host}/{number:07}"
    document = Document(
        id=identifier(url), url=url, host=host, title="題", text=text, licence=Licence()
    )
    return Judged(document=document, fate="keep", signature=signature)


def write_shards(folder: Path, texts: Iterable[str], permutations: int) -> list[ShardPair]:
    """Shards of 1,000 texts each."""
    shards: list[ShardPair] = []
    numbers = itertools.count()
    (folder / "prepared").mkdir(parents=True)
    (folder / "judged").mkdir()
    left = iter(texts)
    while some := list(itertools.islice(left, _SHARD_DOCUMENTS)):
        name = f"{len(shards):05}.jsonl"
        pair = ShardPair(folder / "prepared" / name, folder / "judged" / name)
        with pair.prepared.open("w") as first, pair.judged.open("w") as second:
            for text, signature in zip(some, sign(some, permutations), strict=True):
                page = judged(next(numbers), text, signature)
                first.write(Prepared(document=page.document).model_dump_json() + "\n")
                second.write(page.model_dump_json() + "\n")
            for file in (first, second):
                file.write('{"seconds": 0}\n')
        shards.append(pair)
    return shards
