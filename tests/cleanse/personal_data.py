"""Made personal data of every type in every form, and numbers that only look like it.

All values are invented: check digits are right, but addresses, names and accounts are put together
by chance. The same seed gives the same cases in every process.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import dataclass

from so8t_core.cleanse.check_digits import is_corporate_number, is_my_number, passes_luhn

FULL_WIDTH = str.maketrans({chr(0x21 + place): chr(0xFF01 + place) for place in range(94)})
KANJI = str.maketrans("0123456789", "〇一二三四五六七八九")
DASHES = "-‐‑–—−－ー─"


@dataclass(frozen=True)
class Case:
    """A text with a value of one type in it; `form` says how it is written."""

    kind: str
    form: str
    text: str
    value: str
    also: frozenset[str] = frozenset()
    """Types that the sentence around it holds as well."""


def _digits(chance: random.Random, count: int) -> str:
    return "".join(chance.choices(string.digits, k=count))


def _proven(chance: random.Random, count: int, check: Callable[[str], bool]) -> str:
    while True:
        number = str(chance.randrange(1, 10)) + _digits(chance, count - 1)
        if check(number):
            return number


def _grouped(number: str, sizes: tuple[int, ...], gap: str) -> str:
    parts, start = [], 0
    for size in sizes:
        parts.append(number[start : start + size])
        start += size
    return gap.join(parts)


def _dressed(chance: random.Random, plain: str, solid: str) -> list[tuple[str, str]]:
    """A number with ASCII hyphens in the forms that every number is written in."""
    dash = chance.choice(DASHES)
    return [
        ("plain", plain),
        ("full-width", plain.translate(FULL_WIDTH)),
        ("kanji", plain.translate(KANJI).replace("-", "－")),
        ("other dash", plain.replace("-", dash)),
        ("blanks", plain.replace("-", " ")),
        ("full-width blanks", plain.translate(FULL_WIDTH).replace("－", "\u3000")),
        ("over lines", plain.replace("-", "-\n", 1)),
        ("one by one", " ".join(solid)),
        ("invisible", plain.replace("-", "\u200b-\u200b")),
        (
            "half full-width",
            plain[: len(plain) // 2] + plain[len(plain) // 2 :].translate(FULL_WIDTH),
        ),
        ("wide blanks around the dash", plain.replace("-", " - ")),
    ]


def _told(chance: random.Random, label: str, value: str) -> str:
    """A sentence that gives the value after its label."""
    return chance.choice(
        (
            f"{label}：{value}",
            f"{label}は{value}です。",
            f"{label}　{value}",
            f"{label}: {value}\n",
            f"| {label} | {value} |",
            f"お知らせします。{label}「{value}」をご確認ください。",
            f"・{label}（{value}）",
            f"{label}＝{value}、以上",
        )
    )


def _phones(chance: random.Random) -> list[Case]:
    mobile = f"0{chance.choice('56789')}0-{_digits(chance, 4)}-{_digits(chance, 4)}"
    area = chance.choice(
        ("03", "06", "045", "052", "011", "092", "0422", "0467", "0263", "01267", "09496")
    )
    middle = {2: 4, 3: 3, 4: 2, 5: 1}[len(area)]
    fixed = f"{area}-{chance.randrange(10 ** (middle - 1), 10**middle)}-{_digits(chance, 4)}"
    cases = []
    for number in (mobile, fixed):
        a, b, c = number.split("-")
        kind = "mobile" if number == mobile else "fixed"
        forms = _dressed(chance, number, number.replace("-", ""))
        forms += [
            ("brackets", f"{a}({b}){c}"),
            ("full-width brackets", f"{a}（{b}）{c}".translate(FULL_WIDTH)),
            ("bracketed area", f"({a}) {b}-{c}"),
            ("dots", f"{a}.{b}.{c}"),
            ("の", f"{a}の{b}の{c}"),
            ("kanji の", f"{a}の{b}の{c}".translate(KANJI)),
            ("word", f"{a}ハイフン{b}ハイフン{c}"),
            ("abroad", f"+81-{a[1:]}-{b}-{c}"),
            ("abroad blanks", f"+81 {a[1:]} {b} {c}"),
            ("abroad zero", f"+81(0){a[1:]}-{b}-{c}"),
            ("abroad solid", f"+81{a[1:]}{b}{c}"),
            ("0081", f"0081-{a[1:]}-{b}-{c}"),
        ]
        for form, value in forms:
            text = chance.choice(
                (
                    f"ご連絡は{value}までお願いします。",
                    f"電話 {value}",
                    f"携帯：{value}",
                    f"TEL/FAX: {value}\n営業時間 10:00-18:00",
                    f"☎{value}",
                    f"担当につながる番号は、{value}。",
                )
            )
            cases.append(Case("phone", f"{kind}, {form}", text, value))
        solid = number.replace("-", "")
        told = (f"電話番号は{solid}です。", f"FAX：{solid}", f"{solid}までお電話ください。")
        cases += [Case("phone", f"{kind}, solid", text, solid) for text in told]
    return cases


def _emails(chance: random.Random) -> list[Case]:
    user = "".join(chance.choices(string.ascii_lowercase, k=6))
    user += chance.choice((".sato", "_tanaka", "-01", "+news", "99"))
    host = chance.choice(("example", "mail-lab", "sub.kotoha", "a1"))
    top = chance.choice(("com", "co.jp", "ne.jp", "org", "io", "ac.jp"))
    plain = f"{user}@{host}.{top}"
    forms = [
        ("plain", plain),
        ("full-width", plain.translate(FULL_WIDTH)),
        ("full-width at", plain.replace("@", "＠")),
        ("[at]", plain.replace("@", "[at]")),
        ("(at) blanks", plain.replace("@", " (at) ")),
        (
            "at, dot",
            plain.replace("@", " at ").replace(f".{top}", " dot " + top.replace(".", " dot ")),
        ),
        ("[dot]", plain.replace("@", "[at]").replace(f"{host}.", f"{host}[dot]")),
        ("アット", plain.replace("@", "アット")),
        ("アットマーク", plain.replace("@", "アットマーク").replace(f"{host}.", f"{host}ドット")),
        ("あっと", plain.replace("@", "(あっと)").replace("(あっと)", "あっと")),
        ("star", plain.replace("@", "★")),
        ("circle", plain.replace("@", "●")),
        ("upper", plain.upper()),
        ("over lines", plain.replace("@", "@\n")),
        ("blanks", plain.replace("@", " @ ")),
        ("mailto", f"mailto:{plain}"),
        ("percent", plain.replace("@", "%40")),
        ("invisible", plain.replace("@", "\u200b@\u200b")),
        ("letters apart", " ".join(plain)),
    ]
    return [
        Case(
            "email",
            form,
            chance.choice(
                (
                    f"連絡先は{value}です。",
                    f"メール：{value}",
                    f"<{value}>まで",
                    f"E-mail {value}\n",
                )
            ),
            value,
        )
        for form, value in forms
    ]


_CITIES = (
    "東京都千代田区神田", "大阪府大阪市北区梅田", "北海道札幌市中央区大通西", "神奈川県横浜市西区みなとみらい",
    "京都府京都市下京区四条町", "埼玉県さいたま市浦和区高砂", "茨城県つくば市天王台", "福岡県福岡市博多区博多駅前",
    "沖縄県那覇市泉崎", "愛知県名古屋市中村区名駅", "長野県北佐久郡軽井沢町長倉", "宮城県仙台市青葉区一番町",
    "名古屋市東区泉", "千葉県浦安市舞浜", "青森県むつ市大湊", "三重県四日市市諏訪町",
)  # fmt: skip


def _addresses(chance: random.Random) -> list[Case]:
    town = chance.choice(_CITIES)
    a, b, c = (chance.randrange(1, 30) for _ in range(3))
    lot = f"{a}-{b}-{c}"
    kanji = [_in_words(number) for number in (a, b, c)]
    forms = [
        ("hyphens", town + lot),
        ("two numbers", f"{town}{a}-{b}"),
        ("full-width", town + lot.translate(FULL_WIDTH)),
        ("words", f"{town}{a}丁目{b}番{c}号"),
        ("kanji words", f"{town}{kanji[0]}丁目{kanji[1]}番{kanji[2]}号"),
        ("番地", f"{town}{a * 7}番地"),
        ("番地の", f"{town}{a}番地の{b}"),
        ("の", f"{town}{a}の{b}の{c}"),
        ("long vowel", town + lot.replace("-", "ー").translate(FULL_WIDTH)),
        ("blank before", f"{town} {lot}"),
        ("blanks between", f"{town[:3]} {town[3:]} {lot}"),
        ("building", f"{town}{lot} ことはビル{chance.randrange(2, 9)}階"),
        ("flat", f"{town}{lot} メゾン花 {chance.randrange(101, 909)}号室"),
        ("over lines", f"{town}\n{lot}"),
        ("丁目 and hyphen", f"{town}{a}丁目{b}-{c}"),
    ]
    cases = []
    for form, value in forms:
        text = chance.choice(
            (
                f"住所：{value}", f"所在地は{value}です。", f"{value}へお送りください。",
                f"本人は{value}に住んでいる。", f"| 住所 | {value} |",
            )
        )  # fmt: skip
        cases.append(Case("address", form, text, value))
    latin = f"{lot} Nishi-Machi, {chance.choice(('Shinjuku-ku', 'Kita-ku', 'Tsukuba-shi'))}, Tokyo"
    cases.append(Case("address", "Latin", f"Address: {latin}", latin))
    return cases


def _in_words(number: int) -> str:
    digits = "〇一二三四五六七八九"
    tens, ones = divmod(number, 10)
    head = "" if tens == 0 else "十" if tens == 1 else digits[tens] + "十"
    return head + (digits[ones] if ones else "")


def _postal_codes(chance: random.Random) -> list[Case]:
    plain = f"{chance.randrange(100, 999)}-{_digits(chance, 4)}"
    solid = plain.replace("-", "")
    cases = []
    for form, value in _dressed(chance, plain, solid)[:9]:
        label = chance.choice(("〒", "〒 ", "郵便番号：", "郵便番号は"))
        cases.append(Case("postal_code", f"label, {form}", f"{label}{value}\n", value))
    cases.append(Case("postal_code", "label, solid", f"〒{solid} の地域", solid))
    for form, value in (("plain", plain), ("full-width", plain.translate(FULL_WIDTH))):
        city = chance.choice(_CITIES)
        text = f"送付先は{value} {city}1-2-3です。"
        cases.append(
            Case("postal_code", f"before a place, {form}", text, value, frozenset({"address"}))
        )
    return cases


def _numbers(chance: random.Random) -> list[Case]:
    """My Numbers, corporate numbers, cards, licences."""
    cases = []
    my_number = _proven(chance, 12, is_my_number)
    plain = _grouped(my_number, (4, 4, 4), "-")
    for form, value in [*_dressed(chance, plain, my_number), ("solid", my_number)]:
        label = chance.choice(("マイナンバー", "個人番号", "My Number"))
        cases.append(Case("my_number", form, _told(chance, label, value), value))
    for form, value in (("plain", plain), ("blanks", plain.replace("-", " "))):
        cases.append(Case("my_number", f"no label, {form}", f"控えに{value}とあった。", value))
    cases.append(Case("my_number", "label behind", f"{plain}（マイナンバー）", plain))
    corporate = _proven(chance, 13, is_corporate_number)
    official = _grouped(corporate, (1, 4, 4, 4), "-")
    for form, value in [*_dressed(chance, official, corporate), ("solid", corporate)]:
        label = chance.choice(("法人番号", "法人番号（国税庁）", "登録番号"))
        cases.append(Case("corporate_number", form, _told(chance, label, value), value))
    cases.append(Case("corporate_number", "T", f"インボイスT{corporate}を記載", corporate))
    text = f"株式会社ことは堂（{corporate}）は設立された。"
    cases.append(Case("corporate_number", "beside a firm", text, corporate))
    prefix, length, sizes = chance.choice(
        (("4", 16, (4, 4, 4, 4)), ("52", 16, (4, 4, 4, 4)), ("3528", 16, (4, 4, 4, 4)),
         ("37", 15, (4, 6, 5)), ("36", 14, (4, 6, 4)), ("2221", 16, (4, 4, 4, 4)))
    )  # fmt: skip
    while not passes_luhn(card := prefix + _digits(chance, length - len(prefix))):
        pass
    plain = _grouped(card, sizes, "-")
    for form, value in [*_dressed(chance, plain, card), ("solid", card)]:
        text = chance.choice(
            (f"カード番号 {value}", f"{value}で支払った。", f"VISA：{value} 有効期限 12/30")
        )
        cases.append(Case("card", form, text, value))
    licence = _digits(chance, 12)
    for form, value in [
        *_dressed(chance, _grouped(licence, (4, 4, 4), "-"), licence),
        ("solid", licence),
        ("第…号", f"第{licence}号"),
    ]:
        label = chance.choice(("運転免許証番号", "免許証の番号", "運転免許証", "免許番号"))
        cases.append(Case("driving_licence", form, _told(chance, label, value), value))
    return cases


def _labelled_numbers(chance: random.Random) -> list[Case]:
    """Passports, accounts and birthdays."""
    cases = []
    letters = "".join(chance.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=2))
    passport = letters + _digits(chance, 7)
    for form, value in (
        ("plain", passport), ("full-width", passport.translate(FULL_WIDTH)), ("blank", f"{letters} {passport[2:]}"),
        ("lower", passport.lower()), ("one by one", " ".join(passport)), ("hyphen", f"{letters}-{passport[2:]}"),
        ("kanji", passport.translate(KANJI)), ("half", letters.translate(FULL_WIDTH) + passport[2:]),
    ):  # fmt: skip
        label = chance.choice(
            ("旅券番号", "パスポート番号", "Passport No.", "パスポート（2024年発行）")
        )
        cases.append(Case("passport", form, _told(chance, label, value), value))
    cases.append(Case("passport", "label behind", f"{passport}（旅券番号）", passport))
    account = _digits(chance, 7)
    for form, value in (
        ("plain", account), ("full-width", account.translate(FULL_WIDTH)), ("kanji", account.translate(KANJI)),
        ("blanks", f"{account[:3]} {account[3:]}"), ("hyphen", f"{account[:3]}-{account[3:]}"),
        ("one by one", " ".join(account)),
    ):  # fmt: skip
        bank = chance.choice(
            ("ことは銀行 本町支店", "みらい信用金庫 駅前支店", "空想銀行（0001）中央支店（123）")
        )
        kind = chance.choice(("普通", "普通預金", "当座", "（普）", "普通 口座番号", "口座番号："))
        cases.append(Case("bank_account", form, f"振込先 {bank} {kind} {value}", value))
    cases.append(
        Case("bank_account", "bank alone", f"振込先：ことは銀行 本町支店 {account}", account)
    )
    cases.append(Case("bank_account", "branch", f"口座：店番123 口座番号{account}", account))
    cases.append(Case("bank_account", "bare label", f"口座番号は{account}です。", account))
    number = f"1{_digits(chance, 4)}", f"{_digits(chance, 7)}1"
    for form, text in (
        ("postal bank", f"ゆうちょ銀行 記号{number[0]} 番号{number[1]}"),
        ("postal bank, dash", f"記号番号：{number[0]}-{number[1]}"),
        ("postal bank, wide", f"記号　{number[0]}　番号　{number[1]}".translate(FULL_WIDTH)),
    ):
        value = number[1] if "wide" not in form else number[1].translate(FULL_WIDTH)
        cases.append(Case("bank_account", form, text, value))
    year, month, day = (
        chance.randrange(1940, 2008),
        chance.randrange(1, 13),
        chance.randrange(1, 29),
    )
    era = f"昭和{year - 1925}年" if year < 1989 else f"平成{year - 1988}年"
    for form, value in (
        ("western", f"{year}年{month}月{day}日"), ("slashes", f"{year}/{month}/{day}"), ("era", f"{era}{month}月{day}日"),
        ("full-width", f"{year}年{month}月{day}日".translate(FULL_WIDTH)), ("dashes", f"{year}-{month:02}-{day:02}"),
        ("kanji", f"{era[:2]}{_in_words(int(era[2:-1]))}年{_in_words(month)}月{_in_words(day)}日"),
    ):  # fmt: skip
        cases.append(
            Case(
                "birthday", form, _told(chance, chance.choice(("生年月日", "誕生日")), value), value
            )
        )
    born = f"{year}年{month}月{day}日"
    cases.append(Case("birthday", "born", f"花子は{born}生まれである。", born))
    return cases


def _network(chance: random.Random) -> list[Case]:
    cases = []
    parts = [
        chance.choice((203, 198, 133, 210, 61, 150)),
        *(chance.randrange(256) for _ in range(2)),
        chance.randrange(1, 255),
    ]
    address = ".".join(map(str, parts))
    for form, value in (
        ("plain", address), ("full-width", address.translate(FULL_WIDTH)), ("defanged", address.replace(".", "[.]")),
        ("port", f"{address}:8080"), ("network", f"{address}/24"),
    ):  # fmt: skip
        text = chance.choice(
            (
                f"接続元は{value}でした。",
                f"IPアドレス：{value}",
                f"{value} から投稿",
                f"ログ: {value} - - GET",
            )
        )
        cases.append(
            Case("ip_address", f"v4, {form}", text, value.split("/")[0].removesuffix(":8080"))
        )
    words = [f"{chance.randrange(1, 65536):x}" for _ in range(5)]
    six = f"2001:db8:{':'.join(words[:2])}::{words[2]}:{words[3]}"
    for form, value in (
        ("v6", six), ("v6 upper", six.upper()), ("v6 full", f"2400:4050:{':'.join(words)}:1"),
        ("v6 full-width", six.translate(FULL_WIDTH)), ("v4 in v6", f"::ffff:{address}"),
    ):  # fmt: skip
        cases.append(Case("ip_address", form, f"アクセス元 {value} を記録した。", value))
    password = "".join(chance.choices(string.ascii_letters, k=6)) + _digits(chance, 3)
    for form, value in (
        ("https", f"https://taro:{password}@intra.example/x"), ("ftp", f"ftp://user:{password}@files.example"),
        ("database", f"postgres://app:{password}@db.example:5432/main"), ("no user", f"redis://:{password}@cache.example:6379"),
        ("full-width", f"https://taro:{password}@intra.example/".translate(FULL_WIDTH)),
        ("symbols", f"https://taro:p%40{password}!@intra.example/"),
    ):  # fmt: skip
        cases.append(Case("credential_url", form, f"接続先は{value} です。", value))
    return [*cases, *_secrets(chance, password)]


def _secrets(chance: random.Random, password: str) -> list[Case]:
    def word(length: int, letters: str = string.ascii_letters + string.digits) -> str:
        return "".join(chance.choices(letters, k=length - 2)) + _digits(chance, 2)

    known = [
        ("GitHub", f"ghp_{word(36)}"), ("GitHub fine", f"github_pat_{word(22)}_{word(59)}"), ("AWS", f"AKIA{word(16, string.ascii_uppercase)}"),
        ("OpenAI", f"sk-proj-{word(48)}"), ("old OpenAI", f"sk-{word(48)}"), ("Anthropic", f"sk-ant-api03-{word(40)}"),
        ("Stripe", "sk" + f"_live_{word(24)}"), ("Slack", "xox" + f"b-{_digits(chance, 12)}-{_digits(chance, 12)}-{word(24)}"),
        ("Google", f"AIza{word(35)}"), ("HF", f"hf_{word(34)}"), ("GitLab", f"glpat-{word(20)}"), ("npm", f"npm_{word(36)}"),
        ("SendGrid", f"SG.{word(22)}.{word(43)}"), ("JWT", f"eyJ{word(20)}.eyJ{word(30)}.{word(43)}"),
        ("Telegram", f"{_digits(chance, 9)}:AA{word(33)}"), ("PyPI", f"pypi-{word(60)}"), ("Twilio", f"SK{word(32, '0123456789abcdef')}"),
    ]  # fmt: skip
    cases = [
        Case(
            "secret",
            form,
            chance.choice((f"鍵は{value}です。", f"token: {value}", f"設定に {value} と書く")),
            value,
        )
        for form, value in known
    ]
    value = word(32)
    for form, text in (
        ("api_key", f'api_key = "{value}"'), ("JSON", f'{{"apiKey": "{value}"}}'), ("header", f"Authorization: Bearer {value}"),
        ("x-api-key", f"X-API-Key: {value}"), ("APIキー", f"APIキー：{value}"), ("token word", f"アクセストークンは「{value}」です。"),
        ("environment", f"export DB_PASSWORD={value}"), ("secret key", f"aws_secret_access_key = {value}/ab+1"),
        ("query", f"http://api.example/v1?token={value}&x=1"), ("wide", f"ＡＰＩキー：{value}".translate(FULL_WIDTH)),
    ):  # fmt: skip
        secret = value.translate(FULL_WIDTH) if form == "wide" else value
        cases.append(Case("secret", form, text, secret))
    for form, text in (
        ("password", f"password: {password}"), ("パスワード", f"パスワードは{password}です。"), ("PW", f"ID: taro PW: {password}"),
        ("パスワード wide", f"パスワード：{password}".translate(FULL_WIDTH)),
    ):  # fmt: skip
        secret = password.translate(FULL_WIDTH) if "wide" in form else password
        cases.append(Case("secret", form, text, secret))
    key = "\n".join(word(64) for _ in range(3))
    header = chance.choice(
        ("RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY")
    )
    text = f"-----BEGIN {header}-----\n{key}\n-----END {header}-----"
    cases.append(Case("private_key", header, f"次の鍵を使います。\n{text}\n以上", key))
    cases.append(Case("private_key", "cut off", f"-----BEGIN {header}-----\n{key}", key))
    return cases


def _names(chance: random.Random) -> list[Case]:
    family = chance.choice(
        [
            "佐藤",
            "鈴木",
            "高橋",
            "田中",
            "渡辺",
            "伊藤",
            "山本",
            "中村",
            "小林",
            "加藤",
            "吉田",
            "山田",
            "松本",
            "井上",
            "木村",
            "清水",
            "斎藤",
            "森",
            "岡田",
        ]
    )
    given = chance.choice(
        [
            "花子",
            "太郎",
            "一郎",
            "健太",
            "美咲",
            "翔",
            "さくら",
            "陽菜",
            "大輔",
            "由美子",
            "誠",
            "直樹",
            "恵",
            "裕子",
            "真理",
            "浩二",
            "ひなた",
            "明",
        ]
    )
    phone = f"090-{_digits(chance, 4)}-{_digits(chance, 4)}"
    near = frozenset({"phone"})
    mail = frozenset({"email"})
    full = family + given
    return [
        Case("name", "label", f"氏名：{full}\n電話：{phone}", full, near),
        Case(
            "name",
            "label, blank",
            f"氏名　{family}　{given}\n電話 {phone}",
            f"{family}　{given}",
            near,
        ),
        Case("name", "label は", f"お名前は{full}、電話は{phone}です。", full, near),
        Case("name", "role", f"担当：{full}（{phone}）", full, near),
        Case("name", "role, family", f"担当者 {family}　TEL {phone}", family, near),
        Case("name", "honorific", f"{full}さんの電話は{phone}です。", full, near),
        Case("name", "family, honorific", f"ご連絡は{family}様、{phone}まで。", family, near),
        Case(
            "name",
            "blank",
            f"幹事の{family} {given}が承ります。電話は{phone}。",
            f"{family} {given}",
            near,
        ),
        Case("name", "bare", f"{full} {phone}", full, near),
        Case("name", "bracket", f"{full}（{phone}）", full, near),
        Case("name", "table", f"| {full} | {phone} |", full, near),
        Case("name", "mail", f"{full} <x{_digits(chance, 4)}@example.com>", full, mail),
        Case(
            "name", "Latin", f"Taro Yamada <t{_digits(chance, 4)}@example.com>", "Taro Yamada", mail
        ),
        Case("name", "kana", f"フリガナ：ヤマダ タロウ\n電話：{phone}", "ヤマダ タロウ", near),
        Case(
            "name", "lines", f"{full}\n東京都千代田区神田1-2-3\n{phone}", full, near | {"address"}
        ),
        Case(
            "name",
            "president",
            f"代表取締役　{family}　{given}\nTEL {phone}",
            f"{family}　{given}",
            near,
        ),
    ]


def _official_numbers(chance: random.Random) -> list[Case]:
    """Pension, residents' code, insurance, residence card."""
    pension = _grouped(_digits(chance, 10), (4, 6), "-")
    card = "".join(chance.choices("ABCDEFGHJKLM", k=2)) + _digits(chance, 8) + "CD"
    code, holder = _digits(chance, 11), _digits(chance, 8)
    cases = []
    for label, plain in (
        ("基礎年金番号", pension), ("在留カード番号", card), ("住民票コード", code), ("被保険者番号", holder),
    ):  # fmt: skip
        for form, value in (("plain", plain), ("full-width", plain.translate(FULL_WIDTH))):
            text = _told(chance, label, value)
            cases.append(Case("official_number", f"{label}, {form}", text, value))
    value = f"{_digits(chance, 2)}-{_digits(chance, 3)} 番号 {_digits(chance, 6)}"
    return [*cases, Case("official_number", "insurance", f"健康保険証の記号{value}", value)]


_MAKERS = (
    _phones,
    _emails,
    _addresses,
    _postal_codes,
    _numbers,
    _labelled_numbers,
    _official_numbers,
    _network,
    _names,
)


def positives(seed: int, rounds: int) -> list[Case]:
    """Every type in every form, `rounds` times with other values."""
    chance = random.Random(seed)
    return [case for _ in range(rounds) for make in _MAKERS for case in make(chance)]


def negatives(seed: int, rounds: int) -> list[str]:
    """Texts in which nothing is personal, `rounds` times with other values."""
    chance = random.Random(seed)
    return [text for _ in range(rounds) for text in _harmless(chance)]


def _wrong(chance: random.Random, count: int, check: Callable[[str], bool]) -> str:
    while True:
        number = str(chance.randrange(1, 10)) + _digits(chance, count - 1)
        if not check(number):
            return number


def _harmless(chance: random.Random) -> list[str]:
    n = lambda low, high: chance.randrange(low, high)  # noqa: E731  short, since used sixty times
    year, month, day = n(1950, 2030), n(1, 13), n(1, 29)
    twelve, thirteen = _wrong(chance, 12, is_my_number), _wrong(chance, 13, is_corporate_number)
    card = _wrong(chance, 16, passes_luhn)
    return [
        f"バージョン {n(0, 20)}.{n(0, 30)}.{n(0, 99)}.{n(0, 99)} を公開した。", f"v{n(0, 20)}.{n(0, 30)}.{n(0, 99)}",
        f"nginx {n(1, 3)}.{n(1, 30)}.{n(0, 9)}.{n(0, 9)} では直っている。", f"Chrome {n(90, 140)}.0.{n(4000, 7000)}.{n(10, 200)}",
        f"ファームウェア {n(1, 9)}.{n(0, 9)}.{n(0, 9)}.{n(0, 99)} に更新する。", f"第{n(1, 9)}.{n(1, 9)}.{n(1, 9)}.{n(1, 9)}節を参照。",
        f"ISBN 978-4-{n(10, 99)}-{n(100000, 999999)}-{n(0, 9)}", f"ISBN4-{n(1000, 9999)}-{n(1000, 9999)}-X", f"ISBN: 9784{_digits(chance, 9)}",
        f"{year}年{month}月{day}日に開催した。", f"{year}-{month:02}-{day:02}", f"{year}/{month:02}/{day:02} {n(0, 24):02}:{n(0, 60):02}:{n(0, 60):02}",
        f"令和{n(1, 8)}年{month}月{day}日発行", f"{year}{month:02}{day:02}{n(0, 24):02}{n(0, 60):02} に保存", f"{n(1, 13)}月{n(1, 29)}日〜{n(1, 13)}月{n(1, 29)}日",
        f"品番 {_digits(chance, 3)}-{_digits(chance, 4)}-{_digits(chance, 4)}", f"型番A-{_digits(chance, 4)}-{_digits(chance, 2)}-{_digits(chance, 4)}",
        f"部品番号 {_digits(chance, 4)}-{_digits(chance, 4)}-{_digits(chance, 3)}", f"型式 {chance.choice('ABC')}{chance.choice('XYZ')}{_digits(chance, 7)}",
        f"価格は{n(1, 999)},{_digits(chance, 3)},{_digits(chance, 3)}円です。", f"¥{n(1000, 99999)}-（税込）", f"{n(1, 99)}万{n(1000, 9999)}円の支出",
        f"注文番号 {twelve}", f"注文番号：{_digits(chance, 3)}-{_digits(chance, 7)}-{_digits(chance, 7)}", f"伝票番号 {_grouped(twelve, (4, 4, 4), '-')}",
        f"追跡番号 {twelve}", f"JANコード 49{_digits(chance, 11)}", f"商品コード：{thirteen}", f"管理番号 {card}",
        f"{_grouped(card, (4, 4, 4, 4), '-')} という並び", f"{_grouped(twelve, (4, 4, 4), ' ')} という並び", f"乱数 {_digits(chance, 20)}",
        f"製造番号 T{thirteen}", f"π = 3.{_digits(chance, 14)}", f"座標 {n(24, 45)}.{_digits(chance, 6)}, {n(123, 146)}.{_digits(chance, 6)}",
        f"フリーダイヤル 0120-{_digits(chance, 3)}-{_digits(chance, 3)}", f"0570-{_digits(chance, 3)}-{_digits(chance, 3)} は有料です。", "緊急の電話は110、119、118へ",
        f"被保険者は{n(1, 99)}万{n(1000, 9999)}人である。", "住民票コードは11桁の数字です。", f"在留カードの更新は{n(1, 4)}か月前から", f"年金は{n(60, 70)}歳から受け取る。",
        f"sha256-{''.join(chance.choices(string.ascii_letters + string.digits, k=43))}=", f"linux-image-{n(5, 7)}.{n(1, 20)}.0-{n(1, 40)}-amd64 を導入する",
        f"人口は{n(1, 99)}万{n(1000, 9999)}人で、世帯数は{n(10, 99)},{_digits(chance, 3)}である。", f"東京都の{n(2, 23)}区で{n(1, 9)}か所",
        f"試合は{n(0, 9)}-{n(0, 9)}で終わった。", f"大阪府と京都府の対戦は{n(0, 9)}対{n(0, 9)}", f"第{n(1, 9)}章 {n(1, 9)}-{n(1, 9)} 節の図",
        f"市内{n(2, 9)}か所、港区立図書館の{n(2, 9)}階", f"北区{n(1, 6)}年{n(1, 6)}組の児童", f"国道{n(1, 500)}号と県道{n(1, 500)}号",
        "192.168.0.1 で管理画面を開く", f"10.{n(0, 255)}.{n(0, 255)}.{n(1, 255)} は組織内", "127.0.0.1:8080 で待つ", "マスクは255.255.255.0",
        "std::vector と std::map を使う", f"{n(0, 24):02}:{n(0, 60):02}:{n(0, 60):02} に開始", f"MAC {':'.join(f'{n(0, 256):02x}' for _ in range(6))}",
        f"コミット {''.join(chance.choices('0123456789abcdef', k=40))}", f"SHA256: {''.join(chance.choices('0123456789abcdef', k=64))}",
        f"UUID {'-'.join(''.join(chance.choices('0123456789abcdef', k=size)) for size in (8, 4, 4, 4, 12))}",
        "パスワードは8文字以上にしてください。", "パスワードは90日ごとに変えましょう。", "APIキーは管理画面で発行します。", "トークン: 無効です",
        "免許を取って12年になる。", f"運転免許の更新は{n(1, 13)}月{n(1, 29)}日まで", "パスポートの申請には写真が2枚要ります。", f"口座の残高は{n(100, 999)}円",
        f"普通列車は{n(5, 23)}時{n(0, 60)}分発", f"記号{n(1, 9)}と番号{n(1, 99)}を選ぶ", "お名前を書いてください。", "担当：総務部", "氏名欄は空白のままにする。",
        f"石川県と山口県では{n(1, 99)}件、福島市では{n(1, 99)}件", "@decorator を関数に付ける", "@mention で知らせる", "a@b は行列の積", "user@localhost で入る",
        f"https://example.com/{year}/{month:02}/{_digits(chance, 10)}.html", f"https://example.com:8443/path?id={_digits(chance, 10)}", f"doi:10.{n(1000, 9999)}/{_digits(chance, 8)}",
        f"特許第{_digits(chance, 7)}号", f"平成{n(1, 31)}年法律第{n(1, 150)}号", f"体積は{n(1, 99)}.{_digits(chance, 2)}cm3、{n(10, 99)}-{n(100, 200)}mm", f"1 2 3 4 5 6 7 8 9 10 11 12 {n(13, 20)}",
        f"〒マークは郵便を表す。全国に{n(10000, 30000)}局ある。", f"資料番号 {_digits(chance, 3)}-{_digits(chance, 4)}", f"会員番号{_digits(chance, 8)}の特典", f"RFC {n(1000, 9999)} の{n(1, 9)}.{n(1, 9)}.{n(1, 9)}節",
        f"図書の請求記号 {n(100, 999)}.{n(1, 9)}-{n(10, 99)}", f"IMEI {_digits(chance, 15)}", f"電気料金は月{n(1000, 9999)}円、{n(100, 400)}kWh", f"電話は{n(1, 9)}日から{n(10, 20)}日まで混み合います。",
    ]  # fmt: skip
