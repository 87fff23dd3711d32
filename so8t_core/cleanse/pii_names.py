"""Names of persons: after a label, or close to what reaches the person.

Without a model, a name is known by a frequent surname and a given name written with characters
that given names are written with. Names in running text, far from any such data, are not masked.
"""

from __future__ import annotations

import re
from importlib import resources

SURNAMES = frozenset(
    resources.files("so8t_core.cleanse").joinpath("surnames.txt").read_text("utf-8").split()
)
_GIVEN_KANJI = (
    "一二三四五六七八九十百千万太郎朗次治司史士志子美香花華恵里奈菜莉理梨沙紗早咲桜彩綾亜愛藍葵蒼碧海空陸翔大輝"
    "樹健建賢謙剛豪浩弘宏博寛裕祐佑悠勇雄男夫介助輔之幸行由有友結優夏春秋冬雪月陽日光明晶昭章彰照晃秀英栄永久"
    "正政昌雅真誠信慎進伸新辰達哲徹鉄典紀記規喜嘉佳加和一義良吉善芳好淑静恒清聖智知千鶴亀貴隆孝高尚直尚実稔"
    "穂萌芽桃梅百杏林森茂繁成勝克功勲勉務努武猛毅強剛力拓卓琢匠修俊駿瞬順淳純潤準洋太平公邦国州周秋修文史彦比古"
    "元源玄基本守護保安康泰寧敬慶啓圭桂恵景京響恭恒倫凛凜蓮廉錬玲礼麗怜令瑠琉留璃流龍竜辰虎寅馬丑寿敏利俊歳季節"
    "宗崇宙忠仲充満道路通途斗翼羽飛鳥生世代絵衣織糸弦弥也哉矢八耶那南渚波凪汐湊港奏音琴鈴楓椿蘭菫茜朱紅緑翠青"
    "白真珠瞳心想思望希夢叶未来明瑞水晴朝夕暁旭朔新望遥遼涼亮諒良崚峻岳嶺峰山岡原野智絢絵江枝恵栄衛永映瑛英"
    "多田妙民冨富福禄宝珍玉瑶環幹樹柊桐梓楠檀榛松竹笹菊蓉芙蓮苑園薫香馨郁歌詠吟詩語論諭学教導師範則法律憲権"
)
_GIVEN = f"(?:[{_GIVEN_KANJI}]{{1,3}}|[ぁ-ゖ]{{2,4}}|[ァ-ヺー]{{2,5}})"
_SURNAME = "(?:" + "|".join(sorted(SURNAMES, key=lambda name: (-len(name), name))) + ")"
_HONORIFIC = "(?:さん|様(?![々な子式相])|さま|氏|殿|先生|くん|君|ちゃん|教授|部長|課長|社長|係長)"
_BEFORE = r"(?<![一-鿿々])"
_AFTER = (
    rf"(?=[ \t]|[ \t]*(?:{_HONORIFIC}|まで|宛|あて|が|は|へ|に|と|の|です|や|も|、|。|,|\(|\)|\n|\x1f|\||/|:|\Z|[0-9<\[〔"
    r"A-Za-z+]|電話|住所|生年|携帯|連絡|メール|宅|方|行|」|』|】))"
)

_NAME_VALUE = (
    r"(?P<value>[一-鿿々]{1,4}[ \t]?[一-鿿々ぁ-ゖァ-ヺー]{1,5}|[ァ-ヺー]{2,6}[ \t][ァ-ヺー]{2,6}"
    r"|[ぁ-ゖ]{2,6}[ \t][ぁ-ゖ]{2,6})"
)
NAME_LABELLED = re.compile(
    r"(?:氏名|お?名前|本名|姓名|申請者|申込者|世帯主|患者名?|契約者|口座名義人?|名義人?|差出人|受取人|受取者"
    r"|被保険者|所有者|保護者|記入者|届出人|依頼人|購入者|注文者|会員名|お?客様名)"
    r"(?:[ \t]*\([^()\n]{1,8}\))?(?:[ \t]*(?:[:は=|]|\n|\x1f)[ \t]*|[ \t]+)"
    rf"{_NAME_VALUE}"
    r"(?=[ \t]|[ \t]*(?:\(|（|さん|様|氏|殿|、|。|,|\n|\x1f|$|\||/|\)|[0-9A-Z]|電話|住所|生年|です|<))",
    re.I,
)
NAME_KANA = re.compile(
    r"(?:フリガナ|ふりがな|カナ氏名|氏名カナ|よみがな|ヨミガナ|カナ)[ \t]*(?:[:は=|]|\n)?[ \t]*"
    r"(?P<value>[ァ-ヺー]{2,6}[ \t]?[ァ-ヺー]{2,6}|[ぁ-ゖ]{2,6}[ \t]?[ぁ-ゖ]{2,6})(?=[ \t]*(?:$|\n|\x1f|[^ぁ-ヺー]))"
)
NAME_BY_ROLE = re.compile(
    r"(?:担当者?|受付|代表者?|代表取締役(?:社長)?|責任者|連絡先|宛先|宛名|窓口|本人|配偶者|父|母|夫|妻|長男|長女|顧客"
    r"|利用者|会員|社員|店長|院長|校長|部長|課長|係長|主任)(?:名)?[ \t]*[:は=|]?[ \t]*"
    rf"(?P<value>{_SURNAME}[ \t]?{_GIVEN}?){_AFTER}"
)
_TOWNS = (
    "福島|福井|福岡|宮崎|石川|山口|千葉|長野|富山|秋田|金沢|高松|松本|成田|川崎|川口|上野|秋元|宮城|大阪|岡山|三島|"
    "沼田|富永|玉城|高崎|市川|市原|千田|柏木|立花|多摩|港|西|東|南|北|中野|品川|渋谷|新宿|大塚|目黒|町田|豊田|本田|松下"
)
_REACH = r"(?:TEL|Tel|tel|電話|携帯|直通|☎)?[ \t:]{0,2}(?:\+81|0[5-9]0|0[1-9][0-9]{0,3}[-(])"
NAMES_NEAR = (
    # family and given name with a blank between them
    re.compile(
        r"(?:(?<=[の、。：:は|(\[「『<])|(?<=[\n\x1f])|(?<=[|:>,] )|(?<=(?:締役|担当|代表|社長|部長|課長|院長|校長|店長|受付|会長|理事) )|\A)"
        rf"(?P<value>[一-鿿々]{{1,4}}[ \t][{_GIVEN_KANJI}]{{1,3}}|[ァ-ヺー]{{2,6}}[ \t][ァ-ヺー]{{2,6}})"
        rf"{_AFTER}"
    ),
    re.compile(rf"{_BEFORE}(?P<value>{_SURNAME}[ \t]?{_GIVEN}){_AFTER}"),
    re.compile(rf"{_BEFORE}(?P<value>{_SURNAME})(?=[ \t]?{_HONORIFIC})"),
    re.compile(
        r"(?:[Nn]ame|氏名|名前)[ \t]?[:][ \t]?(?P<value>[A-Z][a-z'-]+[ \t][A-Z][A-Za-z'-]+)(?![ \t]?[A-Za-z])"
    ),
    # a surname right before the data, unless it is a town's name as well
    re.compile(rf"{_BEFORE}(?P<value>(?!{_TOWNS}){_SURNAME})(?=[ \t]?[(:/]?[ \t]?{_REACH})"),
    # any kanji that end like a given name, with a title
    re.compile(
        rf"{_BEFORE}(?P<value>[一-鿿々]{{1,3}}[{_GIVEN_KANJI}]{{1,2}})(?=[ \t]?(?:さん|様(?![々な子式相])|氏|殿)(?![一-鿿]))"
    ),
    # katakana with a title
    re.compile(
        r"(?<![ァ-ヺー・])(?P<value>[ァ-ヺー]{2,8}・[ァ-ヺー]{2,8}|(?!ゲスト|クライアント|スタッフ|サポート)[ァ-ヺー]{3,8}[ァ-ヺ])"
        r"(?=[ \t]?(?:さん|様|氏|殿))"
    ),
    # how a name is read, in brackets behind it
    re.compile(
        r"(?<=[一-鿿々ぁ-ゖァ-ヺー]\()(?P<value>[ぁ-ゖ]{2,6}[ \t][ぁ-ゖ]{2,6}|[ァ-ヺー]{2,6}[ \t][ァ-ヺー]{2,6})(?=\))"
    ),
    re.compile(
        r"(?<![A-Za-z@.])(?:(?:Mr|Ms|Mrs|Dr)\.? )?(?P<value>[A-Z][a-z'-]+[ \t](?!Office|Center|Centre|Us|Desk|"
        r"Support|Department|Service|Division|Inc|Company|Number|Address|Japan|Tokyo|Phone|Tel|Fax|Line|Mail)"
        r"[A-Z][A-Za-z'-]+)(?=[ \t]?<[^\s<>]+@|,? [0(+][0-9])"
    ),
)
_NOT_GIVEN = re.compile(
    "[所社店部課局会院校園館堂屋家室科係班組座駅線町村市区県島港湖城寺宮橋川山]$|^(?:県|市|区|町|村|駅|国|地|家|式)|"
    "電話|住所|番号|連絡|携帯|本店|支店|会社|銀行|工業|建設|商事|産業|研究|大学|高校|病院|製作|株式|方面|地方|周辺"
)
"""What looks like a given name and is the rest of a firm's, a building's or a place's name."""
_MOST_SURNAME = 4
_HIRAGANA = re.compile("[ぁ-ゖ]")  # behind a lone ideograph it is an ending, as in 関する
_GIVEN_HIRAGANA = frozenset(
    resources.files("so8t_core.cleanse")
    .joinpath("given_names_in_hiragana.txt")
    .read_text("utf-8")
    .split()
)
"""Given names that are written in hiragana, which alone may follow a surname of one ideograph."""


def may_be_name(value: str) -> bool:
    """Whether nothing in the value says that it is a firm, a building, a place or a label."""
    solid = "".join(value.split())
    for length in range(_MOST_SURNAME, 0, -1):
        if solid[:length] in SURNAMES:
            bare = (
                length == 1
                and solid == value
                and _HIRAGANA.match(value, 1)
                and value[1:] not in _GIVEN_HIRAGANA
            )
            return not bare and not _NOT_GIVEN.search(solid[length:])
    return not _NOT_GIVEN.search(solid[1:])
