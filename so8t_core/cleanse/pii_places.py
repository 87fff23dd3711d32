"""What postal codes and postal addresses look like, over the folded view.

A group named `value` is what is masked.
"""

from __future__ import annotations

import re

_LABEL_GAP = r"[^0-9\n。]{0,12}(?:。?[\n\x1f])?[^0-9\n。]{0,6}"
PREFECTURE = (
    "(?:北海道|東京都|(?:大阪|京都)府|(?:青森|岩手|宮城|秋田|山形|福島|茨城|栃木|群馬|埼玉|千葉"
    "|神奈川|新潟|富山|石川|福井|山梨|長野|岐阜|静岡|愛知|三重|滋賀|兵庫|奈良|和歌山|鳥取|島根"
    "|岡山|広島|山口|徳島|香川|愛媛|高知|福岡|佐賀|長崎|熊本|大分|宮崎|鹿児島|沖縄)県)"
)
_PLACE = "[一-鿿々ヶケノツヴァ-ヺーぁ-ゖ]"
_CODE = r"[0-9]{3}[ \t]?(?:-|ハイフン|の)?[ \t\n]?[0-9]{4}"
_CODE_APART = r"[0-9](?:[ \t][0-9]){2}[ \t]?-?(?:[ \t][0-9]){4}"

POSTAL_CODES = (
    re.compile(rf"(?:〒|〶)[ \t]?(?P<value>{_CODE}|{_CODE_APART})(?![0-9])"),
    re.compile(
        rf"(?:郵便(?:番号)?|ゆうびん番号|zip(?:[ -]?code)?|postal[ -]?code|postcode){_LABEL_GAP}"
        rf"(?P<value>{_CODE}|{_CODE_APART})(?![0-9-])",
        re.I,
    ),
    re.compile(
        rf"(?<![0-9-])(?P<value>[0-9]{{3}}[ \t]?-[ \t]?[0-9]{{4}})(?=[ \t\n]{{0,2}}(?:{PREFECTURE}"
        rf"|{_PLACE}{{1,6}}[都道府県市]))"
    ),
    re.compile(rf"(?<![0-9-])(?P<value>[0-9]{{7}})(?=[ \t\n]{{1,2}}{PREFECTURE})"),
    re.compile(
        r"(?:住所|所在地|address)[^0-9\n]{0,8}(?P<value>[0-9]{3}-?[0-9]{4})(?![0-9-])"
        r"(?=[ \t\n]{0,2}[一-鿿])",
        re.I,
    ),
    re.compile(
        r"(?<=[A-Za-z])[ ,]{1,3}(?P<value>[0-9]{3}-[0-9]{4})(?=[ ,]{0,3}(?:Japan|JAPAN|日本|\n|$))"
    ),
)

_COUNT = "(?:[0-9]{1,5}|[一二三四五六七八九十百]{1,5})"
_NO_COUNTER = "(?![0-9年月日時分円人個件回歳%対勝敗点枚本冊版])"
_LOT = (
    rf"(?:[東西南北]?{_COUNT}条[東西南北]?)?"
    rf"(?:{_COUNT}(?:[ \t]?(?:丁目|番地の?|番町|番|号|-|の|ノ|ハイフン)[ \t\n]?{_COUNT}"
    rf"{_NO_COUNTER})+(?:[ \t]?(?:号室?|番地?))?"
    rf"|{_COUNT}[ \t]?(?:番地|丁目))"
)
_NAMED = r"[^\s0-9、。,()（）「」〔〕<>|\x1f]"
_BUILDING = (
    rf"(?:[ \t\n]?(?:{_NAMED}{{1,15}}"
    "(?:ビルディング|ビル|マンション|アパート|ハイツ|コーポ|荘|レジデンス|ハウス|タワー|メゾン|団地|寮)"
    rf"|(?:メゾン|ハイツ|コーポ|レジデンス|グラン|サン|パーク|プラザ|グリーン|ロイヤル){_NAMED}{{1,12}})"
    r"(?:[ \t]?(?:[0-9]{1,2}階|[0-9]{1,2}F|[A-Z]?-?[0-9]{1,4}号室?|[A-Z]?-?[0-9]{2,4}))?"
    r"|[ \t]?[0-9]{1,4}号室)?"
)
_WARD = rf"{_PLACE}{{1,8}}?[市区町村郡]"
ADDRESSES = (
    re.compile(
        rf"(?:{PREFECTURE}[ \t\n]?{_WARD}|{_PLACE}{{1,9}}?[市区](?!場|立|民|長)"
        rf"|{PREFECTURE}(?={_PLACE}))[ \t\n]?{_PLACE}{{0,22}}?[ \t\n]?{_LOT}{_BUILDING}"
    ),
    re.compile(
        rf"(?:{PREFECTURE}[ \t]?{_WARD}|{_PLACE}{{1,9}}?[市郡])[ \t]?{_PLACE}{{0,16}}?"
        rf"(?:大字|小字|字){_PLACE}{{1,12}}?[0-9]{{1,5}}{_NO_COUNTER}"
    ),
    re.compile(
        rf"{PREFECTURE}[ \t]?{_PLACE}{{1,6}}?郡{_PLACE}{{1,6}}?[町村][一-鿿]{{1,8}}[0-9]{{1,5}}"
        rf"{_NO_COUNTER}"
    ),
    re.compile(
        rf"(?:〒|郵便番号)[^0-9\n]{{0,6}}[0-9]{{3}}-?[0-9]{{4}}[ \t\n)）]{{0,3}}"
        rf"(?P<value>{_PLACE}{{2,24}}?[ \t]?{_LOT}{_BUILDING})"
    ),
    re.compile(
        r"(?:住所|所在地|居所|勤務先|実家|自宅|送付先|届け先|送り先)[^0-9\n一-鿿]{1,8}"
        rf"(?P<value>{_PLACE}{{2,24}}?[ \t]?{_LOT}{_BUILDING})"
    ),
)
SCORE = re.compile(r"(?:[市区県都府][ \t\n]?|[はがでをにもとへ])[0-9]{1,3}-[0-9]{1,3}$")
"""Two numbers right behind a town or a particle: a score or a rank rather than a lot."""
ADDRESS_LATIN = re.compile(
    r"(?<![0-9A-Za-z-])(?P<value>(?:[#A-Z]?[0-9]{1,4}[,-] ?)?[0-9]{1,4}(?:-[0-9]{1,4}){0,3}"
    r"(?:-?[Cc]home)?,? (?:[A-Z][A-Za-z'-]+,? ){0,4}[A-Z][A-Za-z']+(?:-(?:ku|shi|cho|machi|gun|mura|ward)| (?:City|Ward|Town))"
    r"(?:,? [A-Z][A-Za-z-]+){0,3})"
)
