"""Which samples are held out to measure a training, and the sequences that they give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from so8t_core.contract.errors import DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.dataset import SampleSet, chosen, ranked
from so8t_core.training.encoding import Encoded, Encoder
from so8t_core.training.portion import Portion
from so8t_core.training.sources import Source


@dataclass(frozen=True)
class HoldOut:
    """Makes the held-out sequences, at most as many as an evaluation takes."""

    settings: TrainSettings
    encoder: Encoder
    seed: int
    tick: Callable[[], None]

    def choose(self, sources: tuple[Source, ...]) -> Portion:
        """A seeded choice of samples that are there for nothing else."""
        limit = self.settings.eval_max_samples
        samples = [sample for source in sources for sample in source.samples]
        share = min(1.0, limit / len(samples)) if samples else 0.0
        picked = chosen(len(samples), share, self.seed, "eval")
        encoded: list[Encoded] = []
        for index in picked:
            self.tick()
            encoded += self.encoder.encode(samples[index])
        return self._portion(sources, len(picked), encoded)

    def hold_out(self, source: Source) -> tuple[Source, Portion]:
        """What is left to train on, and of a seeded share of the rows only what is measured.

        Raises `DataError` where nothing would be left.
        """
        rows = len(source.samples)
        share = round(rows * self.settings.validation_fraction)
        held: set[int] = set()
        encoded: list[Encoded] = []
        for index in ranked(rows, self.seed, "held_out")[:share]:
            if len(encoded) >= self.settings.eval_max_samples:
                break
            self.tick()
            held.add(index)
            encoded += self.encoder.encode(source.samples[index])
        kept, out = _parted(source, held)
        return kept, self._portion((out,), len(held), encoded)

    def hold_out_share(self, source: Source) -> tuple[Source, Portion]:
        """The same where all of the share is held out, measured or not, as it used to be."""
        fraction = self.settings.validation_fraction
        held = chosen(len(source.samples), fraction, self.seed, "held_out")
        kept, out = _parted(source, set(held))
        return kept, self.choose((out,))

    def _portion(
        self, sources: tuple[Source, ...], taken: int, encoded: Sequence[Encoded]
    ) -> Portion:
        measured = encoded[: self.settings.eval_max_samples]
        return Portion(sources, self.encoder, taken, SampleSet(measured) if measured else None)


def _parted(source: Source, held: set[int]) -> tuple[Source, Source]:
    """What is trained and what is held out; raises `DataError` where the former is nothing."""
    if len(held) == len(source.samples):
        raise DataError(
            f"All {len(held)} samples of the data set would be held out, and none trained.",
            where="train.validation_fraction",
            hint="Lower train.validation_fraction, or give train.validation_dataset.",
        )
    kept = tuple(sample for index, sample in enumerate(source.samples) if index not in held)
    out = tuple(sample for index, sample in enumerate(source.samples) if index in held)
    return replace(source, samples=kept), Source(source.name, out, {})
