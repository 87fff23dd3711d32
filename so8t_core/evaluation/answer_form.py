"""Whether a generated answer has the form of an answer, whatever it says."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from so8t_core.evaluation.thinking import Told

_LEAKED = re.compile(
    r"<\|[^|<>\s]{1,40}\|>"
    r"|</?\s*(?:think(?:-[a-z]+)?|thinking|final|system|user|assistant)\s*>"
    r"|\[/?INST\]"
    r"|^#{2,3} (?:指示|応答)\s*$",
    re.IGNORECASE | re.MULTILINE,
)
_KANA = re.compile("[ぁ-ゖァ-ヺｦ-ﾝ]")


@dataclass(frozen=True)
class AnswerForm:
    """One answer's checks. `valid` is all of them together but for `in_four_parts`."""

    not_empty: bool
    ended: bool
    nothing_leaked: bool
    japanese: bool
    in_four_parts: bool

    @property
    def valid(self) -> bool:
        """Every check passed; plain answers may be as good as those in four parts."""
        return self.not_empty and self.ended and self.nothing_leaked and self.japanese

    def as_json(self) -> dict[str, bool]:
        """The checks by name, `valid` among them."""
        return {**asdict(self), "valid": self.valid}


def check_form(
    written: str, *, ended: bool, has_control_token: bool, min_kana_share: float
) -> AnswerForm:
    """Check an answer: its final part where it has four in form, else all of it.

    `has_control_token`: one of the tokenizer's special tokens, thinking tags aside, was generated
    before the end. What merely looks like a turn, template or thinking mark also counts as leaked.
    """
    told = Told.of(written)
    text = written if told.text is None else told.text
    return AnswerForm(
        not_empty=bool(text.strip()),
        ended=ended,
        nothing_leaked=not has_control_token and _LEAKED.search(text) is None,
        japanese=kana_share(text) >= min_kana_share and _KANA.search(text) is not None,
        in_four_parts=told.in_four_parts,
    )


def kana_share(text: str) -> float:
    """Kana among letters; 0 for a text without letters."""
    letters = sum(character.isalpha() for character in text)
    return len(_KANA.findall(text)) / letters if letters else 0.0
