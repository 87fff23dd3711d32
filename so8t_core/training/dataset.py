"""Encoded samples in memory, the order in which a whole run sees them, and batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from so8t_core.contract.errors import DataError, ModelError
from so8t_core.training.encoding import Encoded, Encoder
from so8t_core.training.nothing_left import nothing_left
from so8t_core.training.sources import Source

IGNORED = -100
"""Label of a token that is not learnt."""


@dataclass(frozen=True)
class SourceShare:
    """What an epoch holds of one source; tokens without padding, targets give a loss.

    `cut`: how many of its rows were cut to the longest length.
    """

    rows: int
    cut: int
    samples: int
    tokens: int
    targets: int


class SampleSet(Dataset[Encoded]):
    """Samples by index, kept as flat arrays; has no randomness of its own.

    `ids`: int32 (tokens,); `learnt`: bool (tokens,); `bounds`: int64 (samples + 1,).
    """

    def __init__(self, samples: Sequence[Encoded]) -> None:
        lengths = [len(sample.ids) for sample in samples]
        self.bounds: NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        self.ids: NDArray[np.int32] = np.fromiter(
            (token for sample in samples for token in sample.ids), np.int32, int(self.bounds[-1])
        )
        self.learnt: NDArray[np.bool_] = np.fromiter(
            (mark for sample in samples for mark in sample.learnt), np.bool_, int(self.bounds[-1])
        )

    @classmethod
    def of_arrays(
        cls, ids: NDArray[np.int32], learnt: NDArray[np.bool_], bounds: NDArray[np.int64]
    ) -> SampleSet:
        """A set of the arrays of another one."""
        made = cls.__new__(cls)
        made.ids, made.learnt, made.bounds = ids, learnt, bounds
        return made

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> Encoded:
        part = slice(int(self.bounds[index]), int(self.bounds[index + 1]))
        return Encoded(self.ids[part].tolist(), self.learnt[part].tolist())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each sample: int64 (samples,)."""
        return np.diff(self.bounds)

    def require_known_tokens(self, vocabulary: int) -> None:
        """Raise `ModelError` for a token beyond the model's table, which has that many."""
        require_known(int(self.ids.max()), vocabulary, "gave token")

    def digest(self) -> str:
        """SHA-256 of all tokens, marks and bounds: the identity of the data."""
        content = hashlib.sha256()
        for array in (self.bounds, self.ids, self.learnt):
            content.update(array.tobytes())
        return content.hexdigest()


def require_known(token: int, vocabulary: int, told: str) -> None:
    """Raise `ModelError` for a token beyond a table of that many; `told`: what it is."""
    if token >= vocabulary:
        raise ModelError(
            f"The tokenizer {told} {token}, and the model knows {vocabulary} tokens.",
            where="tokenizer.json, and vocab_size in config.json",
            hint="Put the base's own tokenizer beside the model; so8t adds no tokens.",
        )


def _rank(seed: int, source: str, index: int) -> bytes:
    return hashlib.sha256(f"{seed}:{source}:{index}".encode()).digest()


def ranked(count: int, seed: int, source: str) -> list[int]:
    """Indices of `count` samples in a seeded order."""
    return sorted(range(count), key=lambda index: _rank(seed, source, index))


def chosen(count: int, fraction: float, seed: int, source: str) -> list[int]:
    """Indices of `count` samples that make `fraction` of them: whole passes, then a seeded part."""
    passes, rest = divmod(round(count * fraction), count) if count else (0, 0)
    part = ranked(count, seed, source)[:rest] if rest else []
    return [*range(count)] * passes + sorted(part)


def encode_sources(
    sources: Sequence[Source],
    fractions: dict[str, float],
    encoder: Encoder,
    seed: int,
    tick: Callable[[], None],
) -> tuple[SampleSet, dict[str, SourceShare]]:
    """Encode all sources and mix them; `tick` is called before each sample.

    `fractions` by source name (1 where it has none). Raises `DataError` when nothing is left.
    """
    mixed: list[Encoded] = []
    usable = 0
    shares: dict[str, SourceShare] = {}
    for source in sources:
        encoded: list[Encoded] = []
        cut_before = encoder.changed["cut"]
        for sample in source.samples:
            tick()
            encoded += encoder.encode(sample)
        usable += len(encoded)
        picked = chosen(len(encoded), fractions.get(source.name, 1.0), seed, source.name)
        part = [encoded[index] for index in picked]
        mixed += part
        shares[source.name] = SourceShare(
            rows=len(source.samples),
            cut=encoder.changed["cut"] - cut_before,
            samples=len(part),
            tokens=sum(len(one.ids) for one in part),
            targets=sum(one.targets for one in part),
        )
    if not usable:
        raise nothing_left(sources, encoder)
    if not mixed:
        raise DataError(
            f"The fractions leave none of {usable} samples to train on.",
            where=", ".join(f"train.{source.name}_fraction" for source in sources),
            hint="Raise the fraction of a source that has samples.",
        )
    return SampleSet(mixed), shares


class RunOrder(Sampler[int]):
    """The order of all samples of a whole run, a function of `count`, `total` and `seed` alone.

    Passes over the data follow one another without a break, each in an order of its own, until
    `total` samples were given. A resume skips to its place without reading any sample.
    """

    def __init__(self, count: int, total: int, seed: int) -> None:
        self.count = count
        self.total = total
        self.seed = seed

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[int]:
        for start in range(0, self.total, self.count):
            order = np.random.default_rng([self.seed, start // self.count]).permutation(self.count)
            yield from order[: self.total - start].tolist()


@dataclass(frozen=True)
class PaddingCollator:
    """Makes a batch: shorter samples are filled up on the right to the longest.

    `positions`: whether to give them, for a model that looks where samples end.
    """

    pad_id: int
    positions: bool = False

    def __call__(self, samples: Sequence[Encoded]) -> dict[str, Tensor]:
        """Give `input_ids`, `attention_mask` and `labels`, each int64 (samples, longest).

        And `tokens`: int64 (), without what fills up. And `position_ids` where they are wanted, 0
        in what fills up.
        """
        longest = max(len(sample.ids) for sample in samples)
        shape = (len(samples), longest)
        ids = torch.full(shape, self.pad_id, dtype=torch.int64)
        mask = torch.zeros(shape, dtype=torch.int64)
        labels = torch.full(shape, IGNORED, dtype=torch.int64)
        for row, sample in enumerate(samples):
            length = len(sample.ids)
            ids[row, :length] = torch.tensor(sample.ids)
            mask[row, :length] = 1
            learnt = torch.tensor(sample.learnt)
            learnt[0] = False  # nothing predicts it, so it must not count as a target
            labels[row, :length] = torch.where(learnt, ids[row, :length], IGNORED)
        batch = {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "tokens": mask.sum(),
        }
        if self.positions:
            batch["position_ids"] = torch.arange(longest) * mask
        return batch
