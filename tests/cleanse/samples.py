"""Texts made for these tests: good prose in any amount, and every kind of bad text."""

from __future__ import annotations

import random

_NOUNS = [
    "庭",
    "時計",
    "図書館",
    "小道",
    "工場",
    "市場",
    "灯台",
    "台所",
    "手紙",
    "日記",
    "水車",
    "橋",
    "港",
    "畑",
    "井戸",
    "書店",
    "学校",
    "駅",
    "地図",
    "暦",
    "道具",
    "器",
    "布",
    "紙",
    "鉄",
    "木材",
    "石垣",
    "屋根",
    "窓",
    "机",
    "灯り",
    "祭り",
    "歌",
    "昔話",
    "習慣",
    "制度",
    "記録",
    "研究",
    "調査",
    "報告",
    "雨",
    "雪",
    "霧",
    "風",
    "潮",
    "月",
    "星",
    "森",
    "川",
    "湖",
    "海岸",
    "谷",
    "峠",
    "平野",
    "村",
    "町",
    "都市",
    "旅人",
    "職人",
    "農家",
    "漁師",
    "商人",
    "医者",
    "子ども",
]
_VERBS = [
    "支えた",
    "変えた",
    "見つけた",
    "伝えた",
    "守った",
    "調べた",
    "描いた",
    "運んだ",
    "作り直した",
    "書き残した",
    "訪ねた",
    "選んだ",
    "集めた",
    "比べた",
    "教えた",
    "受け継いだ",
    "広めた",
    "考え直した",
    "助けた",
    "眺めた",
]
_WAYS = [
    "静かに",
    "少しずつ",
    "思いがけず",
    "昔から",
    "ゆっくりと",
    "やがて",
    "何度も",
    "初めて",
    "丁寧に",
    "密かに",
]
_ENDS = (
    "と言われている。",
    "という話が残る。",
    "ことが知られている。",
    "のだと思う。",
    "のは、このころである。",
    "が、理由は分かっていない。",
    "ことを、だれもが喜んだ。",
    "。",
)


def prose(seed: int, paragraphs: int = 5) -> str:
    """Japanese prose of invented sentences; different seeds give different texts."""
    random_ = random.Random(seed)

    def sentence() -> str:
        first, second, third, fourth = random_.sample(_NOUNS, 4)
        return (
            f"{first}の{second}は、{random_.choice(_WAYS)}{third}と{fourth}を"
            f"{random_.choice(_VERBS)}{random_.choice(_ENDS)}"
        )

    return "\n".join("".join(sentence() for _ in range(6)) for _ in range(paragraphs))


def page(title: str, body: str, head: str = "", more: str = "") -> str:
    """An HTML page with navigation around its body."""
    paragraphs = "".join(f"<p>{line}</p>" for line in body.split("\n"))
    return (
        f"<!DOCTYPE html><html lang='ja'><head><meta charset='utf-8'><title>{title}</title>{head}"
        "</head><body><nav><ul><li><a href='/'>トップ</a></li><li><a href='/a'>一覧</a></li></ul></nav>"
        f"<main><article><h1>{title}</h1>{paragraphs}{more}</article></main>"
        "<footer>このサイトについて</footer></body></html>"
    )


def bad_texts() -> dict[str, str]:
    """One text of each kind that must not enter the corpus."""
    random_ = random.Random(7)
    hiragana = [chr(code) for code in range(0x3042, 0x3094)]
    katakana = [chr(code) for code in range(0x30A2, 0x30F4)]
    words = [
        "山",
        "川",
        "を",
        "は",
        "が",
        "に",
        "時計",
        "市場",
        "の",
        "図書館",
        "で",
        "と",
        "歩く",
        "静か",
        "記録",
        "人",
        "道具",
        "も",
        "へ",
        "から",
    ]
    return {
        "kana noise": "".join(random_.choices([*hiragana, "。"], k=600)),
        "katakana noise": "".join(random_.choices([*katakana, "。"], k=600)),
        "word salad": "".join("".join(random_.choices(words, k=14)) + "。" for _ in range(30)),
        "link list": "\n".join(f"お知らせの一覧 {number}月号のページ" for number in range(60)),
        "navigation": "\n".join(
            ["ホーム", "会社概要", "製品情報", "採用情報", "お問い合わせ"] * 12
        ),
        "number table": "\n".join(
            "| " + " | ".join(str(random_.randrange(10_000)) for _ in range(8)) + " | 円です。"
            for _ in range(40)
        ),
        "English": "The quick brown fox jumps over the lazy dog, and nobody minds at all. " * 20,
        "Chinese": "我们今天去图书馆看书，然后回家吃饭，晚上大家一起讨论明天的工作计划。" * 15,
        "advertisement": "".join(
            f"今すぐ登録！期間限定の特価、送料無料で{number}名様に。誰でも稼げる副業で月収{number}万円。"
            for number in range(12)
        ),
        "repetition": "この商品はとてもよい商品です。" * 40,
        "ornament": "★☆♪◆■【お買い得】！！☆★" * 30 + "この商品をご覧ください。",
        "short": "短い文です。",
    }
