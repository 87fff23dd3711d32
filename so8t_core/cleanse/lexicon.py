"""Words by which unsafe text is recognised. They serve detection and refusal only.

The lists are our own and deliberately mild. A `strong` phrase is enough by itself; `weak` words
occur in news, law and medicine too, and count only where several of them meet.
"""

from __future__ import annotations

from dataclasses import dataclass

from so8t_core.contract.labels import SafetyLabel


@dataclass(frozen=True)
class Category:
    """One kind of unsafe text, and the label that it gets."""

    name: str
    label: SafetyLabel
    strong: tuple[str, ...]
    weak: tuple[str, ...]


CATEGORIES: tuple[Category, ...] = (
    Category(
        "adult",
        SafetyLabel.DENY,
        (
            "アダルト動画",
            "アダルトサイト",
            "無修正動画",
            "エロ動画",
            "エロ画像",
            "エロ漫画",
            "ポルノ動画",
            "ポルノ画像",
            "セックス動画",
            "18禁動画",
            "18歳未満閲覧禁止",
            "18歳未満の閲覧を禁",
            "成人向け動画",
            "官能小説",
            "デリヘル",
            "ハメ撮り",
            "児童ポルノ画像",
        ),
        (
            "セックス",
            "ポルノ",
            "アダルト",
            "エロ",
            "わいせつ",
            "卑猥",
            "性行為",
            "裸体",
            "全裸",
            "風俗嬢",
            "愛撫",
            "喘ぎ声",
            "成人向け",
            "性的興奮",
        ),
    ),
    Category(
        "violence",
        SafetyLabel.DENY,
        (
            "グロ動画",
            "グロ画像",
            "惨殺動画",
            "拷問の方法",
            "殺害予告",
            "皆殺しにしてやる",
            "ぶっ殺してやる",
            "殺してやる",
            "血祭りにあげ",
        ),
        (
            "惨殺",
            "拷問",
            "血まみれ",
            "撲殺",
            "刺し殺",
            "めった刺し",
            "首を絞め",
            "切り刻",
            "皆殺し",
        ),
    ),
    Category(
        "self_harm",
        SafetyLabel.ESCALATION,
        (
            "自殺の方法",
            "自殺する方法",
            "自殺方法",
            "楽な死に方",
            "楽に死ねる",
            "確実に死ねる",
            "一緒に死んで",
            "集団自殺の募集",
            "死にたい",
            "リストカットのやり方",
        ),
        ("自殺", "自傷", "リストカット", "練炭", "首吊り", "消えたい", "飛び降り"),
    ),
    Category(
        "discrimination",
        SafetyLabel.REFUSE,
        (
            "人種は劣って",
            "民族は劣って",
            "劣等民族",
            "劣等人種",
            "人は国へ帰れ",
            "外国人は出て行け",
            "人を日本から追い出せ",
            "障害者は価値がない",
            "障害者は不要",
            "女は劣って",
            "女は黙って",
        ),
        ("劣等", "ガイジ", "気違い", "出て行け", "追い出せ", "害虫ども", "ゴキブリども", "下等"),
    ),
    Category(
        "drugs",
        SafetyLabel.REFUSE,
        (
            "覚醒剤の作り方",
            "覚せい剤の作り方",
            "覚醒剤を売",
            "覚せい剤を売",
            "麻薬の作り方",
            "大麻の買い方",
            "大麻の育て方",
            "大麻を販売",
            "大麻の密売",
            "違法薬物の販売",
            "違法薬物を販売",
            "違法薬物の入手",
            "違法薬物の買い方",
            "脱法ハーブの通販",
            "ドラッグの密輸",
            "薬物の密売方法",
            "シャブを売",
        ),
        (
            "覚醒剤",
            "覚せい剤",
            "大麻",
            "コカイン",
            "密売",
            "売人",
            "脱法ハーブ",
            "違法薬物",
            "mdma",
        ),
    ),
    Category(
        "weapons",
        SafetyLabel.REFUSE,
        (
            "爆弾の作り方",
            "爆弾を作る方法",
            "爆発物の作り方",
            "爆発物の製造方法",
            "銃の密造",
            "拳銃の作り方",
            "拳銃の買い方",
            "拳銃を売",
            "毒ガスの作り方",
            "毒物の作り方",
            "火炎瓶の作り方",
            "3dプリンタで銃を",
        ),
        ("爆弾", "火炎瓶", "毒ガス", "起爆装置", "密造", "拳銃", "爆薬"),
    ),
    Category(
        "crime",
        SafetyLabel.REFUSE,
        (
            "闇バイト募集",
            "闇バイトの募集",
            "受け子募集",
            "受け子の募集",
            "出し子募集",
            "口座を買い取",
            "口座売買",
            "偽札の作り方",
            "偽造免許証",
            "偽造パスポート",
            "マネーロンダリングの方法",
            "マネーロンダリングのやり方",
            "詐欺で稼ぐ方法",
            "詐欺で稼ごう",
            "不正アクセスのやり方",
            "パスワードを盗む方法",
            "カード情報を盗む",
            "クレジットカード番号を売",
            "万引きのコツ",
            "空き巣のやり方",
            "鍵を壊して侵入する方法",
            "盗撮動画",
            "盗撮の方法",
            "盗撮のやり方",
            "オレオレ詐欺のやり方",
            "詐欺のマニュアル",
            "脅迫状の書き方",
            "ウイルスの作り方",
            "マルウェアの作り方",
            "フィッシングサイトの作り方",
        ),
        (
            "闇バイト",
            "受け子",
            "出し子",
            "偽札",
            "盗撮",
            "飛ばし携帯",
            "口座屋",
            "裏稼業",
            "タタキ",
        ),
    ),
)

REPORTING: tuple[str, ...] = (
    "被害",
    "注意",
    "相談",
    "逮捕",
    "警察",
    "容疑",
    "裁判",
    "判決",
    "防止",
    "予防",
    "対策",
    "法律",
    "取り締ま",
    "支援",
    "窓口",
    "禁止",
    "治療",
    "患者",
    "研究",
)
"""Words of news, law, medicine and help: where they abound, weak words prove nothing."""


AGAINST: tuple[str, ...] = (
    "防ぐ",
    "防げ",
    "防ご",
    "守る",
    "守ろ",
    "避け",
    "見分け",
    "気をつけ",
    "だまされない",
    "やめよう",
    "やめさせ",
    "助け",
    "救",
    "通報",
    "報じ",
    "報道",
    "事件",
    "規制",
    "罰",
    "罪に",
    "犯罪です",
    "違法です",
    "許されない",
    "許さない",
    "なくす",
    "なくそう",
    "悩み",
    "医師",
    "歴史",
    "戦争",
    "講座",
    "授業",
    "教育",
    "統計",
    "法改正",
    "条例",
    "訴え",
    "撲滅",
    "根絶",
    "差別を",
    "差別に",
    "偏見",
    "撤去",
    "処理",
    "捜査",
    "摘発",
    "有罪",
    "起訴",
)
"""What a sentence says that speaks against what it names: beside these an intent proves nothing."""


def words_of(*names: str) -> tuple[str, ...]:
    """Strong phrases and weak words of the named categories."""
    return tuple(
        word
        for category in CATEGORIES
        if category.name in names
        for word in (*category.strong, *category.weak)
    )
