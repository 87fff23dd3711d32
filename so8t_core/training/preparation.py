"""From sources to what the trainer takes: mixed training samples, held-out ones, their figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from so8t_core.contract.errors import DataError
from so8t_core.contract.settings.train import TrainSettings
from so8t_core.training.dataset import (
    SampleSet,
    SourceShare,
    encode_sources,
    require_known,
)
from so8t_core.training.encoding import Encoder
from so8t_core.training.hold_out import HoldOut
from so8t_core.training.packing import PackedSet
from so8t_core.training.portion import Portion, by_reason, cut_note
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


def _own_sources(
    place: Path | str, settings: TrainSettings, holding: HoldOut, *, whole_share: bool
) -> tuple[Source, Portion]:
    form, unanswered = settings.dataset_format, settings.unanswered_rows
    source = read_file(place, form, unanswered)
    if (apart := settings.validation_dataset) is not None:
        setting = "train.validation_dataset"
        given = read_file(apart, form, unanswered, setting, source.kind)
        return source, holding.choose((given,))
    return holding.hold_out_share(source) if whole_share else holding.hold_out(source)


def encode_data(
    settings: TrainSettings,
    tokenizer: Any,
    cleansed: Path | None,
    seed: int,
    tick: Callable[[], None],
    told: Callable[[int, int], None],
    *,
    whole_share: bool = False,
) -> PreparedData:
    """Read, encode and mix; not packed yet. `tick` is called between samples.

    `told` hears again and again how many of how many rows to train on are encoded.
    `cleansed`: cleanse's folder, used where the settings name no data set of their own.
    `whole_share`: for a training that began when all of `validation_fraction` was held out.
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
    holding = HoldOut(settings, encoder(), seed, tick)
    fractions = {
        "instruction": settings.instruction_fraction,
        "corpus": settings.corpus_fraction,
        "safety": settings.safety_fraction,
        "thinking": settings.thinking_fraction,
    }
    sources: tuple[Source, ...]
    if settings.dataset is not None:
        own, held_out = _own_sources(settings.dataset, settings, holding, whole_share=whole_share)
        sources = (own,)
    else:
        assert cleansed is not None
        sources = read_cleansed(cleansed, "train")
        apart = read_cleansed(cleansed, "validation")
        # what is not trained does not measure the training
        held_out = holding.choose(tuple(one for one in apart if fractions[one.name]))
    taken = sum(len(source.samples) for source in sources)
    counted = _counted(taken, tick, told)
    train, shares = encode_sources(sources, fractions, for_training, seed, counted)
    _require_asked(settings, held_out)
    training = Portion(sources, for_training, taken, train)
    figures = _figures(training, shares, train, held_out)
    notes = (*_cuts(settings, shares, held_out), *_notes(settings, training, held_out))
    return PreparedData(train, held_out.samples, figures, notes)


def _counted(
    rows: int, tick: Callable[[], None], told: Callable[[int, int], None]
) -> Callable[[], None]:
    """Tells what is done before each of so many rows, and asks `tick`."""
    done = count()

    def before_each() -> None:
        told(next(done), rows)
        tick()

    return before_each


def packed(data: PreparedData, settings: TrainSettings) -> PreparedData:
    """The same in rows of one length, where the settings ask for that."""
    if not settings.packing:
        return data
    assert isinstance(data.train, SampleSet)
    rows = PackedSet(data.train, settings.max_length_tokens)
    figures = {"packed_rows": len(rows), "packed_rows_filled": rows.filled}
    return replace(data, train=rows, figures={**data.figures, **figures})


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
        "rows_held_out": held_out.taken + held_out.left,
        "rows_held_out_unmeasured": held_out.left,
        "median_sample_tokens": lengths[0],
        "p95_sample_tokens": lengths[1],
        "longest_sample_tokens": lengths[2],
        "sources": {name: asdict(share) for name, share in shares.items()},
        "dropped_samples": training.dropped,
        "dropped_held_out": held_out.dropped,
        "changed_samples": {reason: n for reason, n in sorted(changed.items()) if n},
    }


def _cuts(
    settings: TrainSettings, shares: Mapping[str, SourceShare], held_out: Portion
) -> tuple[str, ...]:
    """What is told of cut rows: of each source, since a small one may be lost among the others."""
    length = settings.max_length_tokens
    own = settings.dataset is not None
    told = [
        cut_note(share.cut, share.rows, "to train on" if own else f"of {name}", length)
        for name, share in shares.items()
    ]
    cut = held_out.encoder.changed["cut"]
    told.append(cut_note(cut, held_out.taken, "held out", length))
    return tuple(note for note in told if note is not None)


def _notes(settings: TrainSettings, training: Portion, held_out: Portion) -> tuple[str, ...]:
    told = [training.loss_note("to train on"), held_out.loss_note("held out")]
    if settings.dataset is None and settings.validation_dataset is not None:
        told.append("train.validation_dataset was not read: it goes with train.dataset.")
    if settings.dataset is not None and (unread := _fractions_set(settings)):
        told.append(f"Not read, since train.dataset is read whole: {', '.join(unread)}.")
    if settings.dataset is not None and settings.validation_dataset is None and held_out.left:
        told.append(
            f"{held_out.left:,} of {held_out.taken + held_out.left:,} rows held out are neither "
            "trained nor measured: this training began when so8t still held out all of "
            "train.validation_fraction. A new one trains on them."
        )
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
