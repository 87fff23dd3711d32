"""Ways of speaking that make an unsafe topic an offer, a request or an attack.

A topic alone is news, medicine or law; a topic with an intent close behind it, in a sentence that
does not report, is flagged. Patterns match the folded text (see `safety_folding.py`): hiragana for
katakana, lower case, small kana as large ones, nothing between the letters. They serve detection
and refusal only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from so8t_core.cleanse.safety_folding import folded_pattern

MEANS = (
    "作り方|つくり方|つくりかた|作りかた|作る方法|作る(?:手順|こつ)|作るための|作ろう|作って(?:みよう|売)|を?作(?:ります|れる|って)|製造(?:方法|手順|法)|"
    "組み?立て|設計図|図面|調合|配合(?=[とのを表比])|材料を混ぜ|自作|手製|手作り|入手|手に入|仕入れ|買い方|買える(?:店|場所|さいと)|買うなら|買いたい|買い取|"
    "売ります|売って(?:くれ|います|る)|売り(?:たい|出)|売買|販売(?:中|して|します|店)|譲(?:ります|って)|格安|安く|注文|通販|個人輸入|密造|密輸|密売|"
    "裏るーと|取引(?:場所|方法|しよう)|取り引き|隠し方|運び方|使い方を教|れしぴ|届けます|郵送|手渡し|即日|在庫あり|入荷|購入(?:でき|する(?:方法|なら)|は)|製造する|作り上げ"
)
"""Making, getting, selling."""

HOW = (
    "やり方|やりかた|仕方|方法|手順|こつ|極意|裏技|まにゅある|台本|てんぷれ|文例|手引き?|指南|入門|稼ご|稼げ|稼ぎ|稼ぐ|儲|始め方|"
    "成功させ|ばれない|ばれな(?:け|く)|ばれず|捕まらな|捕まらず|見つからな|見つからず|足がつかな|募集|急募|集めて|仲間を|"
    "てくにっく|と[ー]く集|せりふ|料金表|"
    "かんたんに(?:でき|やれ)|簡単に(?:でき|やれ)|誰でも(?:でき|やれ)|教え(?:ます|る|て)|伝授|請け負|引き受け|代行|承ります|"
    "つーるを(?:配|販売|公開)|のすすめ|案内します|一覧|まとめ(?:た|て|まし|です|さいと)|日給|日払い|即金|高収入|高額"
)
"""Teaching, hiring, earning."""


@dataclass(frozen=True)
class Intent:
    """What must stand together to be flagged, and the category that it shows."""

    category: str
    pattern: re.Pattern[str]
    sure: bool = True
    """Whether it gets the category's label; what only hints at it is ESCALATION."""


def beside(category: str, topic: str, intent: str, reach: int = 14) -> Intent:
    """A topic, and an intent at most `reach` letters behind it in the sentence."""
    near = f"[^。！？!?]{{0,{reach}}}?"
    return Intent(category, re.compile(folded_pattern(f"(?:{topic}){near}(?:{intent})")))


def alone(category: str, phrase: str) -> Intent:
    """A phrase that needs nothing beside it."""
    return Intent(category, re.compile(folded_pattern(phrase)))


def hints(*intents: Intent) -> tuple[Intent, ...]:
    """The same intents as mere hints."""
    return tuple(replace(intent, sure=False) for intent in intents)
