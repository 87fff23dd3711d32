"""What a caller reads where a question or an answer is not let through."""

from __future__ import annotations

import re

from so8t_core.contract.labels import SafetyLabel

_KANA = re.compile("[ぁ-ゖァ-ヺ]")
_JAPANESE = {
    SafetyLabel.ESCALATION: "この内容は自動では判断できないため、お答えを控えます。"
    "担当者や専門の窓口に確認してください。",
    SafetyLabel.DENY: "この種の内容はここでは扱っていないため、お答えできません。"
    "背景や法律、相談先など、別の角度からのご質問であればお手伝いできます。",
    SafetyLabel.REFUSE: "このご依頼にはお答えできません。",
}
_ENGLISH = {
    SafetyLabel.ESCALATION: "This cannot be judged automatically, so it is not answered here. "
    "Please ask a person in charge or an expert.",
    SafetyLabel.DENY: "This kind of content is not provided here. A question about its background, "
    "the law or where to find help can be answered.",
    SafetyLabel.REFUSE: "This request cannot be answered.",
}


def refusal_text(label: SafetyLabel, asked: str) -> str:
    """The sentence for a label other than ALLOW, in Japanese where the question has kana."""
    return (_JAPANESE if _KANA.search(asked) else _ENGLISH)[label]
