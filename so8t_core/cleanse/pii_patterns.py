"""What personal and confidential data looks like, as regular expressions over the folded view.

A pattern with a group named `value` matches a label too; only the group is masked.
"""

from __future__ import annotations

import re

_NOT_WITHIN_NUMBER = r"(?<![0-9A-Za-z_.])(?<![0-9A-Za-z]-)"
_NO_NUMBER_AFTER = r"(?![0-9A-Za-z_])(?!-[0-9])(?!\.[0-9])"
_GAP = r"[ \t]?[-・]?[ \t\n]?"
_LABEL_GAP = r"[^0-9\n。]{0,12}(?:。?[\n\x1f])?[^0-9\n。]{0,6}"


def _numbered(*groups: int) -> str:
    """Groups of so many digits with a gap between them."""
    return _GAP.join(f"[0-9]{{{size}}}" for size in groups)


PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*KEY-----|\Z)", re.S
)
_WORD = r"(?<![0-9A-Za-z_])"  # not \b, for which a kana before the value is no border
_END = r"(?![0-9A-Za-z_])"
CREDENTIAL_URL = re.compile(
    rf"{_WORD}[a-z][a-z0-9+.-]{{1,20}}://[^\s/@:<>\x1f]{{1,100}}:[^\s/@<>\x1f]{{1,200}}@[^\s<>、。」）\x1f]+",
    re.I,
)
SECRETS = (
    re.compile(rf"{_WORD}(?:AKIA|ASIA)[0-9A-Z]{{16}}{_END}"),
    re.compile(rf"{_WORD}gh[pousr]_[0-9A-Za-z]{{20,}}{_END}"),
    re.compile(rf"{_WORD}github_pat_[0-9A-Za-z_]{{20,}}{_END}"),
    re.compile(rf"{_WORD}glpat-[0-9A-Za-z_-]{{16,}}"),
    re.compile(rf"{_WORD}(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[0-9A-Za-z_-]{{16,}}"),
    re.compile(rf"{_WORD}xox[abeoprs]-[0-9A-Za-z-]{{10,}}"),
    re.compile(rf"{_WORD}AIza[0-9A-Za-z_-]{{30,}}"),
    re.compile(rf"{_WORD}ya29\.[0-9A-Za-z_-]{{20,}}"),
    re.compile(rf"{_WORD}hf_[0-9A-Za-z]{{20,}}{_END}"),
    re.compile(rf"{_WORD}SG\.[0-9A-Za-z_-]{{16,}}\.[0-9A-Za-z_-]{{16,}}"),
    re.compile(rf"{_WORD}eyJ[0-9A-Za-z_-]{{8,}}\.[0-9A-Za-z_-]{{8,}}\.[0-9A-Za-z_-]*"),
    re.compile(
        r"(?:api[ _-]?key|apiキー|access[ _-]?token|auth[ _-]?token"
        r"|secret(?:[ _-]?(?:access[ _-]?)?key)?|client[ _-]?secret|bearer"
        r"|アクセストークン|シークレットキー|秘密鍵|passw(?:or)?d|パスワード|暗証番号)"
        r"[\"']?[ \t]*(?:[:=は]|=>)[ \t]*[\"'「]?"
        r"(?P<value>(?=[!-~]{0,200}[0-9])[^\s\"'」<>,;&\x1f\u0080-\uffff]{4,200})",
        re.I,
    ),
    re.compile(
        r"[?&](?:access_token|token|api_?key|key|secret|password|passwd|sig|signature)="
        r"(?P<value>[^&#\s<>\x1f]{6,})",
        re.I,
    ),
)
_AT = (
    r"[ \t]?(?:@|[\[({<]at[\])}>]|[ \t]at[ \t]"
    r"|アットマーク|あっとまーく|アット|あっと|[☆★◎])[ \t]?"
)
_DOT = r"(?:\.|[ \t]?[\[({<]dot[\])}>][ \t]?|[ \t]dot[ \t]|ドット)"
EMAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{{0,63}}?{_AT}"
    rf"[A-Za-z0-9][A-Za-z0-9-]{{0,62}}(?:{_DOT}[A-Za-z0-9-]{{1,63}}){{0,4}}"
    rf"{_DOT}[A-Za-z]{{2,24}}(?![A-Za-z0-9])",
    re.I,
)

CARD = re.compile(
    rf"{_NOT_WITHIN_NUMBER}(?:{_numbered(4, 4, 4, 4)}|{_numbered(4, 6, 5)}|{_numbered(4, 6, 4)}"
    rf"|[2-6][0-9]{{16,18}}){_NO_NUMBER_AFTER}"
)
TWELVE = re.compile(rf"{_NOT_WITHIN_NUMBER}{_numbered(4, 4, 4)}{_NO_NUMBER_AFTER}")
TWELVE_APART = re.compile(rf"{_NOT_WITHIN_NUMBER}[0-9](?:{_GAP}[0-9]){{11}}{_NO_NUMBER_AFTER}")
THIRTEEN = re.compile(
    r"(?<![0-9A-SU-Za-z_.-])T?[ -]?(?P<value>[0-9](?:[ -]?[0-9]){12})(?![0-9A-Za-z_])"
)
MY_NUMBER_LABEL = re.compile(r"マイナンバー|個人番号|my ?number", re.I)
CORPORATE_LABEL = re.compile(r"法人番号|登録番号|インボイス|適格請求書")
LICENCE_LABEL = re.compile(r"免許")
OTHER_NUMBER_LABEL = re.compile(
    r"(?:注文|受付|伝票|追跡|問い?合わせ?|管理|製造|品|型|商品|部品|シリアル|整理|ロット|予約|会員)"
    r"(?:番号|コード|番|No)|JAN|ISBN|ISSN|S/?N|DOI|serial",
    re.I,
)
PASSPORT = re.compile(
    r"(?:旅券|パスポート|passport)[^0-9\n。]{0,25}?(?<![A-Za-z])"
    rf"(?P<value>[A-Z]{{2}}{_GAP}[0-9](?:{_GAP}[0-9]){{6}})(?![0-9A-Za-z])",
    re.I,
)
BANK_ACCOUNTS = (
    re.compile(
        rf"(?:普通|当座|貯蓄|口座)(?:預金|番号|No\.?)?{_LABEL_GAP}(?<![0-9])"
        r"(?P<value>[0-9](?:[ -]?[0-9]){6,7})(?![0-9-])"
    ),
    re.compile(
        r"記号[^0-9\n]{0,6}"
        r"(?P<value>1[0-9]{4}(?:[- ]?[0-9])?[^0-9\n]{0,8}[0-9]{2,8})(?![0-9-])"
    ),
)

_OPEN = r"[ \t]?[-(][ \t\n]?"
_CLOSE = r"[ \t]?[-)][ \t\n]?"
PHONES = (
    # mobile and IP telephones
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>\(?0[5-9]0\)?{_GAP}\(?[0-9]{{4}}\)?{_GAP}[0-9]{{4}})"
        rf"{_NO_NUMBER_AFTER}"
    ),
    # fixed lines, by the length of the area code
    re.compile(
        rf"{_NOT_WITHIN_NUMBER}(?P<value>"
        r"\(0[1-9][0-9]{0,3}\)[ -]?[0-9]{1,4}[ \t]?-[ \t\n]?[0-9]{4}"
        rf"|0[1-9]{_OPEN}[0-9]{{4}}{_CLOSE}[0-9]{{4}}"
        rf"|0[1-9][0-9]{_OPEN}[0-9]{{3}}{_CLOSE}[0-9]{{4}}"
        rf"|0[1-9][0-9]{{2}}{_OPEN}[0-9]{{2}}{_CLOSE}[0-9]{{4}}"
        rf"|0[1-9][0-9]{{3}}{_OPEN}[0-9]{_CLOSE}[0-9]{{4}}){_NO_NUMBER_AFTER}"
    ),
    re.compile(
        rf"(?<![0-9A-Za-z])(?P<value>\+81{_GAP}\(?0?\)?{_GAP}[1-9](?:[- ()]?[0-9]){{8,9}})"
        rf"{_NO_NUMBER_AFTER}"
    ),
    # fixed lines in blanks, dots or without any mark: only after a label
    re.compile(
        rf"(?:電話|TEL|FAX|ファックス|ファクス|連絡先|携帯|phone|℡|☎){_LABEL_GAP}"
        rf"(?P<value>0(?:[ .-]?[0-9]){{9,10}}){_NO_NUMBER_AFTER}",
        re.I,
    ),
)
PUBLIC_PHONES = ("0120", "0800", "0570", "0990", "0180", "0170")

_PREFECTURE = (
    "(?:北海道|東京都|(?:大阪|京都)府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉"
    "|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根"
    "|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"
)
_PLACE = "[一-鿿々ヶケノツヴァ-ヺーぁ-ゖ]"
POSTAL_CODES = (
    re.compile(r"〒[ \t]?(?P<value>[0-9]{3}[ \t]?-?[ \t]?[0-9]{4})(?![0-9])"),
    re.compile(rf"郵便番号{_LABEL_GAP}(?P<value>[0-9]{{3}}[ \t]?-?[ \t]?[0-9]{{4}})(?![0-9-])"),
    re.compile(
        rf"(?<![0-9-])(?P<value>[0-9]{{3}}-[0-9]{{4}})(?=[ \t\n]?{_PLACE}{{1,6}}[都道府県市])"
    ),
)
_COUNT = "(?:[0-9]{1,5}|[一二三四五六七八九十百]{1,5})"
_LOT = (
    rf"{_COUNT}(?:[ \t]?(?:丁目|番地の?|番町|番|条|号|-|の)[ \t]?{_COUNT}"
    r"(?![0-9年月日時分円人個件回歳%]))+(?:[ \t]?(?:号室?|番地?))?"
    rf"|{_COUNT}[ \t]?(?:番地|丁目)"
)
_NAMED = r"[^\s0-9、。,()（）「」〔〕<>\x1f]"
_BUILDING = (
    rf"(?:[ \t\n]?(?:{_NAMED}{{1,15}}"
    "(?:ビルディング|ビル|マンション|アパート|ハイツ|コーポ|荘|レジデンス|ハウス|タワー|メゾン)"
    rf"|(?:メゾン|ハイツ|コーポ|レジデンス|グラン|サン|パーク){_NAMED}{{1,12}})"
    r"(?:[ \t]?(?:[0-9]{1,2}階|[0-9]{1,2}F|[0-9]{1,4}号室?|[0-9]{2,4}))?"
    r"|[ \t]?[0-9]{1,4}号室)?"
)
ADDRESS = re.compile(
    rf"(?:{_PREFECTURE}[ \t]?{_PLACE}{{1,8}}?[市区町村郡]"
    rf"|{_PLACE}{{1,9}}?[市区](?!場|立|民|長)|{_PREFECTURE})"
    rf"[ \t]?{_PLACE}{{0,16}}?[ \t]?(?:{_LOT}){_BUILDING}"
)
NAME = re.compile(
    r"(?:氏名|お名前|本名|申請者|世帯主|患者名|契約者|口座名義人?|名義人?|差出人|受取人)"
    r"(?:[ \t]*(?:[:は|]|\n|\x1f)[ \t]*|[ \t]+)"
    r"(?P<value>[一-鿿々]{1,4}[ \t]?[一-鿿々ぁ-ゖァ-ヺー]{1,5}|[ァ-ヺー]{2,6}[ \t][ァ-ヺー]{2,6})"
    r"(?=[ \t]*(?:\(|（|さん|様|氏|、|。|\n|\x1f|$|\||[0-9]|電話|住所|生年))"
)
SPACED_NAME = re.compile(
    r"(?:(?<=[の、。：:は])|(?<=[\n\x1f])|\A)(?P<value>[一-鿿々]{1,4}[ \t][一-鿿々ぁ-ゖ]{1,4}?)"
    r"(?=(?:さん|様|氏|殿|先生|まで|宛|あて|が|は|へ|に|と|です|、|。|\(|\n|\x1f|\Z))"
)
BIRTHDAY = re.compile(
    r"(?:生年月日|誕生日)[ \t]*(?:[:は|]|\n|\x1f)?[ \t]*"
    r"(?P<value>(?:(?:昭和|平成|令和|大正|明治|[SHRTM])[ \t]?(?:元|[0-9]{1,2})|(?:19|20)[0-9]{2})"
    r"[ \t]?[年./-][ \t]?[0-9]{1,2}[ \t]?[月./-][ \t]?[0-9]{1,2}日?)"
)
IP_ADDRESSES = (
    re.compile(
        r"(?<![0-9A-Za-z_.-])(?P<value>[0-9]{1,3}(?:\.[0-9]{1,3}){3})"
        r"(?![0-9A-Za-z_]|\.[0-9]|-[0-9])"
    ),
    re.compile(
        r"(?<![0-9A-Za-z_:.])(?P<value>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})"
        r"(?![0-9A-Za-z_:])"
    ),
)
VERSION_LABEL = re.compile(
    r"(?:version|ver\.?|バージョン|版|release|リリース|\bv|[A-Za-z]-|_)[ \t:]*$", re.I
)
SECTION_NUMBER = re.compile(
    r"(?:^|(?<=\n)|(?<=\n[#|-] ))(?:[1-9]|[12][0-9])(?:\.(?:[1-9]|[1-4][0-9])){3}"
    r"(?:\.(?:\s|$)|[ \t]+[^\s0-9a-z])"
)
