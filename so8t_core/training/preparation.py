"""From sources to what the trainer takes: mixed training samples, held-out ones, their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from so8t_core.contract.errors import DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.dataset import SampleSet, SourceShare, chosen, encode_sources, require_known
from so8t_core.training.encoding import Encoder
from so8t_core.training.packing import PackedSet
from so8t_core.training.portion import Portion, by_reason
from so8t_core.training.sources import Source, read_cleansed, read_file


@dataclass(frozen=True)
class PreparedData:
    """`held_out` is None where there is nothing to hold out, or none is wanted.

    `notes`: what whoever trains on it must know.
    """

    train: SampleSet | PackedSet
    held_out: SampleSet | None
    figures: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def longest(self) -> Mapping[str, int]:
        """Tokens of the longest sample to train on, and of the longest one held out."""
        portions = {"to train on": self._trained, "held out": self.held_out}
        return {kind: int(part.lengths.max()) for kind, part in portions.items() if part}

    @property
    def _trained(self) -> SampleSet:
        return self.train.samples if isinstance(self.train, PackedSet) else self.train

    def require_known_tokens(self, vocabulary: int, pad_id: int) -> None:
        """Raise `ModelError` where a token is beyond the model's table of that many.

        `pad_id`: the token that batches are filled up with.
        """
        require_known(pad_id, vocabulary, "fills up with token")
        for samples in (self._trained, self.held_out):
            if samples is not None:
                samples.require_known_tokens(vocabulary)


def _own_sources(place: Path | str, settings: TrainSettings, seed: int) -> tuple[Source, Source]:
    form, unanswered = settings.dataset_format, settings.unanswered_rows
    source = read_file(place, form, unanswered)
    if (apart := settings.validation_dataset) is not None:
        setting = "train.validation_dataset"
        return source, read_file(apart, form, unanswered, setting, source.kind)
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
) -> Portion:
    """A seeded choice of at most `limit` held-out sequences."""
    samples = [sample for source in sources for sample in source.samples]
    encoded = []
    picked = chosen(len(samples), min(1.0, limit / len(samples)), seed, "eval") if samples else []
    for index in picked:
        tick()
        encoded += encoder.encode(samples[index])
    kept = SampleSet(encoded[:limit]) if encoded[:limit] else None
    return Portion(sources, encoder, len(picked), kept)


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
    _require_asked(settings, held_out)
    taken = sum(len(source.samples) for source in sources)
    training = Portion(sources, for_training, taken, train)
    figures = _figures(training, shares, train, held_out)
    notes = _notes(settings, training, held_out)
    if not settings.packing:
        return PreparedData(train, held_out.samples, figures, notes)
    packed = PackedSet(train, settings.max_length_tokens)
    row_figures = {"packed_rows": len(packed), "packed_rows_filled": packed.filled}
    return PreparedData(packed, held_out.samples, {**figures, **row_figures}, notes)


def _require_asked(settings: TrainSettings, held_out: Portion) -> None:
    """Raise `DataError` where rows were given to be measured on, and none can be."""
    given = settings.validation_dataset if settings.dataset is not None else None
    if given is None or not settings.eval_max_samples or held_out.samples is not None:
        return
    raise DataError(
        f"Of {held_out.taken} held-out samples that were chosen none can be measured on: "
        f"{by_reason(held_out.encoder.dropped)}.",
        where=f"{given} (train.validation_dataset)",
        hint="Mend the rows, raise train.max_length_tokens or train.eval_max_samples, or leave "
        "train.validation_dataset out: a share of train.dataset is then held out.",
    )


def _figures(
    training: Portion, shares: Mapping[str, SourceShare], train: SampleSet, held_out: Portion
) -> dict[str, Any]:
    lengths = np.percentile(train.lengths, (50, 95, 100), method="inverted_cdf").tolist()
    changed = training.encoder.changed
    return {
        "samples": len(train),
        "samples_held_out": len(held_out.samples) if held_out.samples else 0,
        "median_sample_tokens": lengths[0],
        "p95_sample_tokens": lengths[1],
        "longest_sample_tokens": lengths[2],
        "sources": {name: asdict(share) for name, share in shares.items()},
        "dropped_samples": training.dropped,
        "dropped_held_out": held_out.dropped,
        "changed_samples": {reason: n for reason, n in sorted(changed.items()) if n},
    }


def _notes(settings: TrainSettings, training: Portion, held_out: Portion) -> tuple[str, ...]:
    told = [training.loss_note("to train on"), held_out.loss_note("held out")]
    told += [training.cut_note("to train on"), held_out.cut_note("held out")]
    if settings.dataset is None and settings.validation_dataset is not None:
        told.append("train.validation_dataset was not read: it goes with train.dataset.")
    if settings.dataset is not None and (unread := _fractions_set(settings)):
        told.append(f"Not read, since train.dataset is read whole: {', '.join(unread)}.")
    if held_out.samples is None and (why := _unmeasured(settings, training, held_out)) is not None:
        unanswered = ", and no answer to train.sample_prompts" if settings.sample_prompts else ""
        told.append(f"Nothing is held out ({why}): there is no held-out loss{unanswered}.")
    return tuple(note for note in told if note is not None)


def _fractions_set(settings: TrainSettings) -> list[str]:
    """Those of cleanse's sources that are set otherwise than they are by themselves."""
    names = [f"{source}_fraction" for source in ("instruction", "corpus", "safety", "thinking")]
    fields = TrainSettings.model_fields
    return [f"train.{name}" for name in names if getattr(settings, name) != fields[name].default]


def _unmeasured(settings: TrainSettings, training: Portion, held_out: Portion) -> str | None:
    """Why nothing measures the training; None where that was asked for."""
    if not settings.eval_max_samples:
        return None
    if held_out.taken:
        return f"of {held_out.taken} samples chosen none is left"
    if settings.dataset is None:
        return "cleanse left nothing for it"
    if not settings.validation_fraction:
        return None
    many = f"{training.taken} {'sample' if training.taken == 1 else 'samples'}"
    return f"train.validation_fraction, {settings.validation_fraction:g}, of {many} is none"
