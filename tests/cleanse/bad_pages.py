"""Texts made for these tests that must not enter a corpus, in any number, of every kind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from tests.cleanse.samples import prose

_SHOPS = [
    "健康茶",
    "美容液",
    "ダイエットサプリ",
    "腕時計",
    "財布",
    "掃除機",
    "枕",
    "化粧水",
    "青汁",
    "英会話教材",
    "育毛剤",
    "浄水器",
]
_PITCHES = [
    "今だけ{n}%OFF！", "送料無料でお届けします！", "先着{n}名様に限定価格！", "口コミで話題の{x}が激安！", "今すぐ登録して無料体験！",
    "返金保証つきだから安心！", "ポイント{n}倍キャンペーン実施中！", "ランキング1位の{x}をお得な価格で！", "残りわずか！お買い上げはお早めに。",
    "クーポンで最安値！", "誰でも稼げる副業で月収{n}万円！", "{x}で必ず痩せる！", "当選おめでとうございます！今すぐクリック！",
]  # fmt: skip
_MENU = [
    "ホーム",
    "会社概要",
    "製品情報",
    "採用情報",
    "お問い合わせ",
    "サイトマップ",
    "よくある質問",
    "アクセス",
    "ログイン",
    "新着情報",
    "カテゴリ",
    "English",
]
_TOPICS = [
    "庭",
    "時計",
    "図書館",
    "工場",
    "市場",
    "灯台",
    "手紙",
    "日記",
    "港",
    "学校",
    "地図",
    "祭り",
    "研究",
    "調査",
    "星",
    "森",
]
_WORDS = re.compile(r"[一-鿿々]+|[ァ-ヺー]+|[ぁ-ゖ]{1,3}")


def _spam(chance: random.Random) -> str:
    return "".join(
        chance.choice(_PITCHES).format(n=chance.randrange(10, 90), x=chance.choice(_SHOPS))
        for _ in range(chance.randrange(14, 40))
    )


def _advertisement(chance: random.Random) -> str:
    """Sentences between pitches, as on a page of a shop."""
    lines = [
        f"{chance.choice(_SHOPS)}は毎日の暮らしを助ける商品です。{chance.choice(_PITCHES).format(n=chance.randrange(10, 90), x=chance.choice(_SHOPS))}"
        for _ in range(18)
    ]
    return "\n".join(lines)


def _link_list(chance: random.Random) -> str:
    return "\n".join(
        f"{chance.choice(_TOPICS)}と{chance.choice(_TOPICS)}の話 その{chance.randrange(500)}"
        for _ in range(60)
    )


def _navigation(chance: random.Random) -> str:
    return chance.choice(["\n", " | ", " > "]).join(chance.choices(_MENU, k=90))


def _salad_of_words(chance: random.Random) -> str:
    """The words of prose in random order, cut into sentences."""
    words = _WORDS.findall(prose(chance.randrange(10**6), 6))
    chance.shuffle(words)
    return "".join("".join(words[start : start + 12]) + "。" for start in range(0, len(words), 12))


def _salad_inside_sentences(chance: random.Random) -> str:
    text = ""
    for sentence in prose(chance.randrange(10**6), 6).replace("\n", "").split("。"):
        words = _WORDS.findall(sentence)
        chance.shuffle(words)
        text += "".join(words) + "。"
    return text


def _salad_of_letters(chance: random.Random) -> str:
    letters = list(prose(chance.randrange(10**6), 4).replace("\n", ""))
    chance.shuffle(letters)
    return "".join(letters)


def _kana_noise(chance: random.Random) -> str:
    kana = [chr(code) for code in range(0x3041, 0x3094)] + ["。"] * 3 + ["、"] * 3
    return "".join(chance.choices(kana, k=chance.randrange(300, 900)))


def _mixed_noise(chance: random.Random) -> str:
    """Hiragana, katakana and ideographs by chance."""
    letters = [
        chr(
            chance.randrange(*chance.choice(((0x3041, 0x3094), (0x30A1, 0x30F4), (0x4E00, 0x5500))))
        )
        for _ in range(600)
    ]
    return "".join(
        letter + ("。" if place % 30 == 29 else "") for place, letter in enumerate(letters)
    )


def _number_table(chance: random.Random) -> str:
    return "\n".join(
        f"| {chance.randrange(1, 13)}月{chance.randrange(1, 29)}日 | "
        + " | ".join(str(chance.randrange(100_000)) for _ in range(6))
        + " |"
        for _ in range(40)
    )


def _english(chance: random.Random) -> str:
    words = [
        "the",
        "garden",
        "of",
        "time",
        "was",
        "quiet",
        "and",
        "nobody",
        "had",
        "seen",
        "a",
        "ship",
        "before",
        "that",
        "year",
        "in",
        "town",
    ]
    return " ".join(" ".join(chance.choices(words, k=12)).capitalize() + "." for _ in range(40))


def _chinese(chance: random.Random) -> str:
    parts = [
        "我们今天去图书馆看书",
        "他说这个问题很重要",
        "城市的发展需要时间",
        "孩子们在公园里玩",
        "经济增长的速度放缓",
        "老师给学生讲故事",
        "天气预报说明天下雨",
        "请大家注意安全",
    ]
    return "。".join(f"{chance.choice(parts)}，{chance.choice(parts)}" for _ in range(40)) + "。"


def _korean(chance: random.Random) -> str:
    parts = [
        "오늘은 날씨가 좋습니다",
        "우리는 도서관에 갔습니다",
        "그 사람은 편지를 썼습니다",
        "바다가 보이는 마을입니다",
    ]
    return ". ".join(chance.choice(parts) for _ in range(60)) + "."


def _mojibake(chance: random.Random) -> str:
    written, read = chance.choice(
        (
            ("utf-8", "cp932"),
            ("utf-8", "latin-1"),
            ("cp932", "latin-1"),
            ("euc_jp", "cp932"),
            ("cp932", "utf-8"),
        )
    )
    return prose(chance.randrange(10**6), 4).encode(written).decode(read, "replace")


def _repetition(chance: random.Random) -> str:
    sentence = prose(chance.randrange(10**6), 1).split("。")[0] + "。"
    return sentence * 30


def _teasers(chance: random.Random) -> str:
    return "\n".join(prose(chance.randrange(10**6), 1)[:40] + "…" for _ in range(20))


def _ornament(chance: random.Random) -> str:
    return "".join(
        chance.choice("★☆♪◆■◇●○▼▲※♡") * chance.randrange(1, 4) + chance.choice(_SHOPS) + "！"
        for _ in range(60)
    )


KINDS: dict[str, Callable[[random.Random], str]] = {
    "spam": _spam,
    "advertisement": _advertisement,
    "link list": _link_list,
    "navigation": _navigation,
    "word salad": _salad_of_words,
    "salad inside sentences": _salad_inside_sentences,
    "salad of letters": _salad_of_letters,
    "kana noise": _kana_noise,
    "mixed noise": _mixed_noise,
    "number table": _number_table,
    "English": _english,
    "Chinese": _chinese,
    "Korean": _korean,
    "mojibake": _mojibake,
    "repetition": _repetition,
    "teasers": _teasers,
    "ornament": _ornament,
}


def bad_pages(seed: int, each: int) -> list[tuple[str, str]]:
    """`each` texts of every kind, with its name."""
    chance = random.Random(seed)
    return [(kind, make(chance)) for kind, make in KINDS.items() for _ in range(each)]
