"""What numbers that belong to a person or a firm look like, over the folded view.

A group named `value` is what is masked; the rest of a match is its label.
"""

from __future__ import annotations

import re

_NOT_WITHIN_NUMBER = r"(?<![0-9A-Za-z_.+])(?<![0-9A-Za-z]-)"
_NO_NUMBER_AFTER = r"(?![0-9A-Za-z_])(?!-[0-9])(?!\.[0-9])"
_GAP = r"[ \t\n]?(?:[-・|./_]|ハイフン)?[ \t\n]?"
_CARD_GAP = r"[ \t\n]?(?:[-・./_]|ハイフン)?[ \t\n]?"
_PHONE_GAP = r"(?:[ \t]?(?:[-・|./の_~,〜]|ハイフン|[)(]{1,2})[ \t\n]?|[ \t]{0,2}\n?)"
_LABEL_GAP = r"[^0-9\n。]{0,12}(?:。?[\n\x1f])?[^0-9\n。]{0,6}"


def _numbered(*groups: int) -> str:
    """Groups of so many digits with a gap between them, which is no border of a table."""
    return _CARD_GAP.join(f"[0-9]{{{size}}}" for size in groups)


CARD = re.compile(
    rf"{_NOT_WITHIN_NUMBER}(?:{_numbered(4, 4, 4, 4)}|{_numbered(4, 6, 5)}|{_numbered(4, 6, 4)}"
    rf"|[2-6][0-9]{{16,18}}|[2-6](?:[ \t][0-9]){{13,15}}){_NO_NUMBER_AFTER}"
)
CARD_IN_ROW = re.compile(
    rf"{_NOT_WITHIN_NUMBER}[0-9]{{4}}(?:[ \t]?[|][ \t]?[0-9]{{4}}){{3}}{_NO_NUMBER_AFTER}"
)
"""In the cells of a table, where only a label tells a card from four other numbers."""
CARD_LABEL = re.compile(
    "カード|クレジット|card|VISA|JCB|AMEX|Master|マスターカード|アメックス|ダイナース", re.I
)
TWELVE = re.compile(
    rf"{_NOT_WITHIN_NUMBER}[0-9]{{4}}(?P<gap>[ \t]?[-・]?[ \t\n]?)[0-9]{{4}}(?P=gap)[0-9]{{4}}{_NO_NUMBER_AFTER}"
)
TWELVE_APART = re.compile(rf"{_NOT_WITHIN_NUMBER}[0-9](?:{_GAP}[0-9]){{11}}{_NO_NUMBER_AFTER}")
THIRTEEN = re.compile(
    r"(?<![0-9A-SU-Za-z_.-])T?[ -]?(?P<value>[0-9](?:[ \t]?[-・]?[ \t\n]?[0-9]){12})(?![0-9A-Za-z_])"
    r"(?!-[0-9])"
)
MOMENT = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])"
)
MY_NUMBER_LABEL = re.compile(r"マイナンバー|まいなんばー|個人番号|my ?number", re.I)
CORPORATE_LABEL = re.compile(
    r"法人番号|国税庁|登録番号|インボイス|適格請求書|corporate number|(?:株式|有限|合同|合資|合名)会社"
    r"|(?:財団|社団|学校|医療|社会福祉|特定非営利活動|宗教)法人|\((?:株|有)\)|㈱|㈲",
    re.I,
)
LICENCE_LABEL = re.compile(r"免許|driver'?s? ?licen[cs]e|driving ?licen[cs]e|licen[cs]e no", re.I)
PASSPORT_LABEL = re.compile(r"旅券|パスポート|passport|査証|渡航", re.I)
OTHER_NUMBER_LABEL = re.compile(
    r"(?:注文|受付|伝票|追跡|問い?合わせ?|管理|製造|品|型|商品|部品|製品|部|シリアル|整理|ロット|予約|会員"
    r"|請求|発注|図面|図|案件|文書|通し|特許|出願|カタログ|規格|荷物|送り状|取引|識別|物品|資産)"
    r"(?:番号|コード|番|No|ID)|(?<![A-Za-z])(?:JAN|ISBN|ISSN|EAN|UPC|GTIN|ASIN|S/?N|DOI|P/?N|SKU|IMEI|UUID"
    r"|serial|model|part|order|invoice|tracking|lot|patent)(?![A-Za-z])|(?:注文|伝票|追跡|受注|発注)[ :は]|型式|シリアル|ロット",
    re.I,
)
PASSPORT = re.compile(
    rf"(?<![0-9A-Za-z])(?P<value>[A-Z][ \t]?[A-Z]{_GAP}[0-9](?:{_GAP}[0-9]){{6}})(?![0-9A-Za-z])"
    r"(?!-[0-9])",
    re.I,
)
OFFICIAL_NUMBERS = (
    # pension, residents' code, insurance, residence card: beside their label alone
    re.compile(
        rf"(?:基礎年金番号|年金(?:手帳|証書)の?(?:記号)?番号|住民票コード|(?:被保険者|受給者|保険証|保険者|診察券|介護保険)(?:証)?の?"
        rf"(?:記号)?(?:・)?番号){_LABEL_GAP}(?P<value>[0-9](?:[ -]?[0-9]){{5,11}})(?![0-9-])"
    ),
    re.compile(
        r"(?:保険証|被保険者証|健康保険)(?:の|,|、|:|[ \t])*記号[^0-9\n]{0,6}(?P<value>[0-9][0-9-]{1,9}[^0-9\n]{0,3}番号[^0-9\n]{0,3}[0-9-]{1,10})"
    ),
    re.compile(
        rf"(?:在留カード|特別永住者証明書|residence card)[^A-Za-z0-9\n]{{0,14}}(?:No\.?)?[ \t:]{{0,2}}"
        rf"(?P<value>[A-Z]{{2}}{_GAP}[0-9](?:{_GAP}[0-9]){{7}}{_GAP}[A-Z]{{2}})(?![0-9A-Za-z])",
        re.I,
    ),
)
_ACCOUNT = r"[0-9](?:[ \t]?-?[ \t]?[0-9]){6,7}"
BANK_ACCOUNTS = (
    re.compile(
        rf"(?:普通|当座|貯蓄|口座|\([普当]\)|(?<![一-鿿ぁ-ゖ])[普当](?=[ :])|account|a/c|acct)(?:預金|番号|number|No\.?)?{_LABEL_GAP}"
        rf"(?<![0-9])(?P<value>{_ACCOUNT})(?![0-9-])(?![ \t]?(?:[円人件個台本枚]|名(?!義)))",
        re.I,
    ),
    re.compile(
        r"(?:口座|普通|当座)[^\n。]{0,30}?(?:店番|店番号|支店コード|支店番号|支店)[^0-9\n]{0,6}[0-9]{3}"
        rf"[^0-9\n]{{1,14}}(?P<value>{_ACCOUNT})(?![0-9-])"
    ),
    re.compile(
        r"(?:銀行|信用金庫|信金|信用組合|農協|労働金庫|労金)[^\n。0-9]{0,8}(?:\(?[0-9]{4}\)?)?[^\n。0-9]{0,16}"
        rf"(?:支店|本店|出張所|営業部|店番)[^\n。0-9]{{0,6}}(?:\(?[0-9]{{3}}\)?)?[^\n。0-9]{{0,14}}"
        rf"(?<![0-9])(?P<value>{_ACCOUNT})(?![0-9-])"
    ),
    re.compile(
        r"IBAN[^A-Za-z0-9\n]{0,6}(?P<value>[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]){11,30})(?![A-Za-z0-9])"
    ),
    re.compile(
        r"記号(?:番号|[・/]番号)?[^0-9\n]{0,6}"
        r"(?P<value>[01][0-9]{4}(?:[- ]?[0-9])?[^0-9\n]{0,8}[0-9]{2,8})(?![0-9-])"
    ),
)
BANK_AFTER = re.compile(
    r"(?<![0-9A-Za-z-])(?P<value>[0-9]{7,8})[ \t]?\(?(?:(?:普通|当座|貯蓄)(?:預金|口座)?|口座番号)"
)

_OPEN = r"[ \t]?[-(][ \t\n]?"
_CLOSE = r"[ \t]?[-)][ \t\n]?"
_PHONE_LABEL = (
    r"(?:電話|でんわ|TEL|FAX|ファックス|ファクス|連絡先|携帯|ケータイ|スマホ|phone|mobile|cell|℡|☎|📞|📱"
    r"|直通|内線|問い?合わ?せ先|呼出)"
)


def _fixed_line(gap: str) -> str:
    """Area code, exchange and number of a fixed line with this gap between them."""
    return (
        rf"(?:0[346]{gap}[0-9]{{4}}|0[1-9][0-9]{gap}[0-9]{{3}}|0[1-9][0-9]{{2}}{gap}[0-9]{{2}}"
        rf"|0[1-9][0-9]{{3}}{gap}[0-9]){gap}[0-9]{{4}}"
    )


_SPELLED_GAPS = ("[ ]", "[.]", "の", "ハイフン", "・", "[ ]?[|][ ]?", "[ ]-[ ]")
PHONES = (
    # mobile and IP telephones
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>\(?0[5-9]0\)?{_PHONE_GAP}\(?[0-9]{{4}}\)?{_PHONE_GAP}"
        rf"[0-9]{{4}}){_NO_NUMBER_AFTER}"
    ),
    # any telephone, each digit by itself
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>0[ \t][1-9](?:[ \t]?[-・]?[ \t][0-9]){{8,9}}){_NO_NUMBER_AFTER}"
    ),
    # fixed lines, by the length of the area code
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>"
        r"\(0[1-9][0-9]{0,3}\)[ -]?[0-9]{1,4}[ \t]?[- ][ \t\n]?[0-9]{4}"
        rf"|0[1-9]{_OPEN}[0-9]{{4}}{_CLOSE}[0-9]{{4}}"
        rf"|0[1-9][0-9]{_OPEN}[0-9]{{3}}{_CLOSE}[0-9]{{4}}"
        rf"|0[1-9][0-9]{{2}}{_OPEN}[0-9]{{2}}{_CLOSE}[0-9]{{4}}"
        rf"|0[1-9][0-9]{{3}}{_OPEN}[0-9]{_CLOSE}[0-9]{{4}}){_NO_NUMBER_AFTER}"
    ),
    # with blanks, dots, の or a word between the groups
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>"
        + "|".join(map(_fixed_line, _SPELLED_GAPS))
        + rf"){_NO_NUMBER_AFTER}"
    ),
    re.compile(
        rf"(?<![0-9A-Za-z])(?P<value>\(?(?:\+|%2B|00|(?=81[- ]?0?[5-9]0[- ]))81\)?{_PHONE_GAP}\(?0?\)?{_PHONE_GAP}[1-9]"
        rf"(?:[- ().]{{0,2}}[0-9]){{8,9}}){_NO_NUMBER_AFTER}"
    ),
    # without any mark: only beside a label
    re.compile(
        rf"{_PHONE_LABEL}{_LABEL_GAP}(?P<value>0(?:[ ./\n-]{{0,3}}[0-9]){{9,10}}){_NO_NUMBER_AFTER}",
        re.I,
    ),
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>0[1-9][0-9]{{8}})"
        r"(?=[ \t]?(?:まで|に|へ)?(?:、|ご|お)?(?:電話|連絡|TEL|お掛け|おかけ|\((?:電話|TEL|FAX|代表|直通)))",
        re.I,
    ),
)
PUBLIC_PHONE = re.compile(r"\(?(?:0120|0570|0990|0180|0170|0088|0077|0800(?=[^0-9]))")
"""Numbers that are nobody's; 0800 only where it stands apart, since 080-0… is written for mobiles."""
FREE_LABEL = re.compile("フリー(?:ダイヤル|コール|アクセス)|ナビダイヤル|通話(?:料)?無料")

_ERA = r"(?:(?:昭和|平成|令和|大正|明治|[SHRTM])[ \t.]?(?:元|[0-9]{1,2}|[一二三四五六七八九十]{1,3})|(?:19|20)[0-9]{2})"
_MONTH_OR_DAY = r"(?:[0-9]{1,2}|[一二三四五六七八九十]{1,3})"
_DAY = rf"{_ERA}[ \t]?[年./-][ \t]?{_MONTH_OR_DAY}[ \t]?[月./-][ \t]?{_MONTH_OR_DAY}[ \t]?日?"
BIRTHDAYS = (
    re.compile(
        rf"(?:生年月日|誕生日|出生日|誕生|date of birth|birth(?:day|date)|DOB)[ \t]*[:は=|\n\x1f(「]?"
        rf"[ \t]*(?P<value>{_DAY}|(?:19|20)[0-9]{{6}}(?![0-9]))",
        re.I,
    ),
    re.compile(rf"(?<![0-9])(?P<value>{_DAY})[ \t]?(?:に)?(?:生まれ|うまれ|生(?![一-鿿])|出生)"),
)
