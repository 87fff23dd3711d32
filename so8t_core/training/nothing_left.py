"""What is said where no sample is left to train on: what most rows were lost to, and its remedy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from so8t_core.contract.errors import DataError
from so8t_core.contract.plain import plain_text
from so8t_core.training.encoding import Encoder
from so8t_core.training.sources import Source

_PLAIN = "or set `train.chat_format: plain`."


def nothing_left(sources: Sequence[Source], encoder: Encoder) -> DataError:
    """The error for sources of which `encoder` made nothing."""
    where = ", ".join(source.where for source in sources)
    dropped = Counter(encoder.dropped)
    for source in sources:
        dropped.update(source.dropped)
    reasons = {reason: count for reason, count in sorted(dropped.items()) if count}
    if not reasons and not any(source.samples for source in sources):
        return DataError(
            "The data set is empty.",
            where=where,
            hint="Look at what cleanse kept (`so8t report`), or give a `train.dataset` with rows.",
        )
    if reasons.keys() == {"answer_beyond_length"}:
        return DataError(
            f"All labels are masked: in each of {reasons['answer_beyond_length']} samples the "
            "answer lies beyond the longest length, so nothing would be learnt.",
            where=f"{where}, train.max_length_tokens",
            hint="Raise `train.max_length_tokens`, or shorten the questions.",
        )
    lost = max(encoder.dropped, key=lambda reason: encoder.dropped[reason], default=None)
    told, place, remedy = _mended(lost, encoder, where)
    return DataError(f"No sample is left to train on: {reasons}.{told}", where=place, hint=remedy)


def _mended(lost: str | None, encoder: Encoder, where: str) -> tuple[str, str, str]:
    """What else is said of the reason that most samples were lost to; where; what to do."""
    template = f"{where}, the chat template of {encoder.tokenizer.name_or_path}"
    if lost == "refused_by_template":
        said = plain_text(str(encoder.refusal), limit=200)
        remedy = f"Bring the turns into the order that the template wants, {_PLAIN}"
        return f" The chat template says: {said}", template, remedy
    if lost == "no_answer_in_template":
        told = " The chat template does not write what the assistant says."
        return told, template, f"Mend the template, {_PLAIN}"
    if lost == "too_long":
        told = f" Longer than {encoder.max_length} tokens, they are left out (train.long_pairs)."
        remedy = "Raise `train.max_length_tokens`, or set `train.long_pairs: cut`."
        return told, f"{where}, train.max_length_tokens", remedy
    return "", where, "Look at these rows, and at `train.max_length_tokens`."
