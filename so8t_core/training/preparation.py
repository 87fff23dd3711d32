"""From sources to what the trainer takes: mixed training samples, held-out ones, their figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from so8t_core.contract.errors import DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.dataset import SampleSet, SourceShare, chosen, encode_sources
from so8t_core.training.encoding import Encoder
from so8t_core.training.packing import PackedSet
from so8t_core.training.sources import Source, read_cleansed, read_file


@dataclass(frozen=True)
class PreparedData:
    """`held_out` is None where there is nothing to hold out, or none is wanted."""

    train: SampleSet | PackedSet
    held_out: SampleSet | None
    figures: Mapping[str, Any]

    def require_known_tokens(self, vocabulary: int) -> None:
        """Raise `ModelError` where a token is beyond the model's table of that many."""
        trained = self.train.samples if isinstance(self.train, PackedSet) else self.train
        for samples in (trained, self.held_out):
            if samples is not None:
                samples.require_known_tokens(vocabulary)


def _own_sources(place: Path | str, settings: TrainSettings, seed: int) -> tuple[Source, Source]:
    form, unanswered = settings.dataset_format, settings.unanswered_rows
    source = read_file(place, form, unanswered)
    if (apart := settings.validation_dataset) is not None:
        return source, read_file(apart, form, unanswered, "train.validation_dataset")
    count = len(source.samples)
    held = set(chosen(count, settings.validation_fraction, seed, "held_out"))
    if len(held) == count:
        raise DataError(
            f"All {count} samples of the data set would be held out, and none trained.",
            where="train.validation_fraction",
            hint="Lower train.validation_fraction, or give train.validation_dataset.",
        )
    kept = tuple(sample for index, sample in enumerate(source.samples) if index not in held)
    out = tuple(sample for index, sample in enumerate(source.samples) if index in held)
    return replace(source, samples=kept), Source(source.name, out, {})


def _read(
    settings: TrainSettings, cleansed: Path | None, seed: int
) -> tuple[tuple[Source, ...], tuple[Source, ...]]:
    if settings.dataset is not None:
        train, held_out = _own_sources(settings.dataset, settings, seed)
        return (train,), (held_out,)
    assert cleansed is not None
    return read_cleansed(cleansed, "train"), read_cleansed(cleansed, "validation")


def _held_out(
    sources: tuple[Source, ...], encoder: Encoder, limit: int, seed: int, tick: Callable[[], None]
) -> SampleSet | None:
    """A seeded choice of at most `limit` held-out sequences; None where there is none."""
    samples = [sample for source in sources for sample in source.samples]
    encoded = []
    picked = chosen(len(samples), min(1.0, limit / len(samples)), seed, "eval") if samples else []
    for index in picked:
        tick()
        encoded += encoder.encode(samples[index])
    return SampleSet(encoded[:limit]) if encoded[:limit] else None


def prepare(
    settings: TrainSettings,
    tokenizer: Any,
    cleansed: Path | None,
    seed: int,
    tick: Callable[[], None],
) -> PreparedData:
    """Read, encode and mix; `tick` is called between samples.

    `cleansed`: cleanse's folder, used where the settings name no data set of their own.
    Raises `DataError` when nothing is left, `ModelError` for an unusable tokenizer.
    """

    def encoder() -> Encoder:
        return Encoder(
            tokenizer,
            settings.chat_format,
            settings.max_length_tokens,
            settings.long_pairs,
            tick=tick,
        )

    for_training = encoder()
    sources, held_out_sources = _read(settings, cleansed, seed)
    fractions = {
        "instruction": settings.instruction_fraction,
        "corpus": settings.corpus_fraction,
        "safety": settings.safety_fraction,
        "thinking": settings.thinking_fraction,
    }
    train, shares = encode_sources(sources, fractions, for_training, seed, tick)
    # what is not trained does not measure the training
    measured = tuple(one for one in held_out_sources if fractions.get(one.name, 1.0))
    held_out = _held_out(measured, encoder(), settings.eval_max_samples, seed, tick)
    figures = _figures(sources, shares, for_training, train, held_out)
    if not settings.packing:
        return PreparedData(train, held_out, figures)
    packed = PackedSet(train, settings.max_length_tokens)
    row_figures = {"packed_rows": len(packed), "packed_rows_filled": packed.filled}
    return PreparedData(packed, held_out, {**figures, **row_figures})


def _figures(
    sources: tuple[Source, ...],
    shares: Mapping[str, SourceShare],
    encoder: Encoder,
    train: SampleSet,
    held_out: SampleSet | None,
) -> dict[str, Any]:
    dropped = Counter(encoder.dropped)
    for source in sources:
        dropped.update(source.dropped)
    return {
        "samples": len(train),
        "samples_held_out": len(held_out) if held_out else 0,
        "longest_sample_tokens": max(len(train[index].ids) for index in range(len(train))),
        "sources": {name: asdict(share) for name, share in shares.items()},
        "dropped_samples": {reason: n for reason, n in sorted(dropped.items()) if n},
        "changed_samples": {reason: n for reason, n in sorted(encoder.changed.items()) if n},
    }
