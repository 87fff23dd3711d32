"""Answers to requests that are not fulfilled, written by people for this project.

They are synthetic with regard to the passage that they answer: no page contains them.
"""

from __future__ import annotations

from so8t_core.contract.files import sha256_text
from so8t_core.contract.labels import SafetyLabel

_REFUSALS: dict[SafetyLabel, tuple[str, ...]] = {
    SafetyLabel.DENY: (
        "申し訳ありませんが、この種の内容は提供していません。別のご質問があればお手伝いします。",
        "こちらの内容についてはお答えできません。ほかの話題でしたら喜んでお手伝いします。",
        "成人向けまたは過度に残酷な内容は扱わないことにしています。別の角度からのご質問をお待ちしています。",
    ),
    SafetyLabel.REFUSE: (
        "人に危害を与えたり法律に反したりするおそれがあるため、お手伝いできません。",
        "申し訳ありませんが、その依頼には応じられません。安全で合法な方法についてであればご相談に乗れます。",
        "だれかの権利や安全を損なうおそれがあるため、この内容にはお答えしません。",
    ),
    SafetyLabel.ESCALATION: (
        "この内容は慎重な判断が必要なため、担当者の確認をお願いしています。",
        "ここでは判断できない内容です。つらいお気持ちがあるときは、身近な人や専門の相談窓口に話してみてください。",
        "自動では判断できない内容のため、人による確認に回します。",
    ),
}


def refusal(label: SafetyLabel, key: str) -> str:
    """The answer to a passage with this label, chosen by the key; empty for ALLOW."""
    variants = _REFUSALS.get(label, ("",))
    return variants[int(sha256_text(key)[:8], 16) % len(variants)]
