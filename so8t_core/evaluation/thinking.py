"""What counts of an answer in four parts: the final one, as whoever asks would get it."""

from __future__ import annotations

from dataclasses import dataclass

from so8t_core.contract.thinking import SEQUENCE, Part
from so8t_core.training.samples import WITHHELD, shown_part

_OPENER = SEQUENCE[0]


@dataclass(frozen=True)
class Told:
    """What a model told. `text` is all of a plain answer, and the final part of one in four parts.

    None where tags are there in no form that could be served: such an answer tells nothing.
    """

    text: str | None
    in_four_parts: bool

    @classmethod
    def of(cls, written: str) -> Told:
        """Of everything that a model wrote."""
        shown = shown_part(written)
        if not any(tag in written for tag in SEQUENCE):
            return cls(written, in_four_parts=False)
        return cls(shown, in_four_parts=shown is not None and SEQUENCE[-1] in written)

    @property
    def shown(self) -> str:
        """For readers: thinking is never shown."""
        return WITHHELD if self.text is None else self.text


def is_thinking(written: str) -> bool:
    """Whether what was written so far belongs to an answer in four parts before its final one."""
    begun = written.lstrip()
    if len(begun) < len(_OPENER):
        return bool(begun) and _OPENER.startswith(begun)
    return begun.startswith(_OPENER) and Part.FINAL.opener not in begun
