"""What reaches a person or a machine over the network looks like: e-mail, addresses, secrets.

Regular expressions over the folded view; a group named `value` is what is masked.
"""

from __future__ import annotations

import re

_WORD = r"(?<![0-9A-Za-z_])"  # not \b, for which a kana before the value is no border
_END = r"(?![0-9A-Za-z_])"

PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*KEY(?: BLOCK)?-----|\Z)",
    re.S,
)
CREDENTIAL_URL = re.compile(
    rf"{_WORD}[a-z][a-z0-9+.-]{{1,20}}://[^\s/@:<>\x1f]{{0,100}}:[^\s/@<>\x1f]{{1,200}}@"
    r"[^\s<>、。」）\"'\x1f]+",
    re.I,
)

_PREFIXED = (
    r"(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}" + _END,
    r"gh[pousr]_[0-9A-Za-z]{20,}" + _END,
    r"github_pat_[0-9A-Za-z_]{20,}" + _END,
    r"gl(?:pat|dt|rt)-[0-9A-Za-z_-]{16,}",
    r"(?:sk|pk|rk)[-_](?:live|test|proj|ant|svcacct|or)?[-_]?[0-9A-Za-z_-]{16,}",
    r"whsec_[0-9A-Za-z]{16,}",
    r"xox[abeoprs]-[0-9A-Za-z-]{10,}",
    r"xapp-[0-9]-[0-9A-Za-z-]{10,}",
    r"AIza[0-9A-Za-z_-]{30,}",
    r"ya29\.[0-9A-Za-z_-]{20,}",
    r"GOCSPX-[0-9A-Za-z_-]{16,}",
    r"hf_[0-9A-Za-z]{20,}" + _END,
    r"npm_[0-9A-Za-z]{30,}" + _END,
    r"pypi-[0-9A-Za-z_-]{30,}",
    r"dckr_pat_[0-9A-Za-z_-]{20,}",
    r"do[opr]_v1_[0-9a-f]{40,}",
    r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{20,}",
    r"(?:AC|SK)[0-9a-f]{32}" + _END,
    r"SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,}",
    r"key-[0-9a-f]{32}" + _END,
    r"[0-9]{8,10}:AA[0-9A-Za-z_-]{32,}",
    r"[MNO][0-9A-Za-z_-]{22,26}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,}",
    r"https://hooks\.slack\.com/services/[0-9A-Za-z/]{20,}",
    r"https://(?:ptb\.)?discord(?:app)?\.com/api/webhooks/[0-9]{10,}/[0-9A-Za-z_-]{20,}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{50,}",
    r"(?:gsk|r8|lin_api|tvly|pplx|xai|figd|ntn|sbp|csk|secret|vercel|rnd|pat|tok|api|key)[-_]"
    r"(?=[a-z]*[0-9A-Z])[0-9A-Za-z]{30,}" + _END,
    r"nvapi-[0-9A-Za-z_-]{40,}",
    r"sq0(?:atp|csp|idp)-[0-9A-Za-z_-]{20,}",
    r"(?:hv[sbr]|xkeysib|xsmtpsib|dapi|dop|EAA|glsa|phc|sntrys|rk|ATATT|ATCTT|shippo|PMAK|hvb|cfut|fly|nfp|dp\.pt|sl)"
    r"[-_.]?(?=[0-9A-Za-z_.-]*[0-9])(?=[0-9A-Za-z_.-]*[A-Za-z])[0-9A-Za-z_-]{30,}(?:[-_.][0-9A-Za-z]{6,})?"
    + _END,
    # any short word and then 32 letters of both sizes and digits, as no word has them
    r"(?!(?:sha|md|blake|crc)[0-9-])[A-Za-z][0-9A-Za-z]{1,11}[-_.](?=[0-9A-Za-z_-]{0,60}[0-9])"
    r"(?=[0-9A-Z_-]{0,60}[a-z])(?=[0-9a-z_-]{0,60}[A-Z])(?=(?:[^0-9\s]*[0-9]){4})(?=(?:[^A-Z\s]*[A-Z]){4})[0-9A-Za-z]{32,}"
    + _END,
    r"eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*",
)
_PREFIX = re.compile(_WORD + "(?:" + "|".join(_PREFIXED) + ")")

_SENSITIVE_WORDS = (
    r"(?:x-)?api[ _-]?(?:key|secret|token)|api ?(?:キー|鍵|トークン)|access[ _-]?(?:key(?:[ _-]?id)?"
    r"|token)|auth(?:orization)?(?:[ _-]?token)?|refresh[ _-]?token|secret(?:[ _-]?(?:access[ _-]?)?"
    r"key)?|client[ _-]?secret|account[ _-]?key|private[ _-]?key|session[ _-]?(?:id|token)|bearer"
    r"|token|webhook[ _-]?secret|(?:アクセス|認証|ボット|チャネルアクセス|リフレッシュ)?トークン"
    r"|アクセスキー|シークレット(?:キー|アクセスキー)?|秘密鍵|認証キー|ライセンスキー"
    r"|pass(?:word|wd|phrase|code)?|pwd?|pin[ _-]?(?:code|number)|パスワード|パスコード|パスフレーズ|暗証番号|合言葉"
)
_LABELLED = re.compile(
    rf"(?<![A-Za-z])(?:[A-Z0-9]{{1,20}}_)*(?:{_SENSITIVE_WORDS})(?![A-Za-z])"
    r"(?:[ \t]?\([^()\n]{1,12}\))?[\"'」]?[ \t]*(?:[:=は]|=>|:=|が)[ \t\n]?(?:bearer|basic|token)?[ \t]*"
    r"[\"'「『`]?"
    r"(?P<value>(?=[!-~]{0,200}[0-9])(?![0-9]{1,3}(?![!-~]))[!#-&(-+./0-9:=?@A-Z\[\]^_a-z{|}~*$%-]{4,200})"
    r"(?![^\s\x1f]{0,2}(?:文字|桁|字|回|個|日|時間|分|件|種類))",
    re.I,
)
_BEARER = re.compile(r"(?:(?<![A-Za-z])bearer[ \t]+(?P<value>[0-9A-Za-z._~+/=-]{16,}))", re.I)
_BASIC = re.compile(
    r"authorization[\"']?[ \t]*[:=][ \t]*[\"']?basic[ \t]+(?P<value>[0-9A-Za-z+/=]{8,})", re.I
)
_KEY = re.compile(
    r"(?<![A-Za-z])(?:key|キー|鍵)[\"']?[ \t]*[:=は][ \t]*[\"'「]?(?P<value>[0-9A-Za-z_-]{24,})",
    re.I,
)
_PLAIN_WORD = re.compile(
    r"(?<![A-Za-z])(?:password|passwd|パスワード)[\"']?(?:[ \t]?[:=])[ \t]?[\"'「]?"
    r"(?P<value>(?!(?:string|required|optional|hidden|secret|password|passwd|none|null|true|false"
    r"|your|example|getpass|input|text|field|prompt|str|int|bytes|self|char|forgot|reset)(?![a-z]))"
    r"[a-z]{6,24})(?![A-Za-z(.\[])",
)
_IN_QUERY = re.compile(
    r"[?&](?:[A-Za-z-]*(?:signature|credential|security-token)|access_token|auth|token|api_?key|key|secret|client_secret|password|passwd|pwd|sig"
    r"|signature|session(?:id)?)=(?P<value>[^&#\s<>\x1f]{6,})",
    re.I,
)

SECRETS = (
    _PREFIX,
    _LABELLED,
    _BEARER,
    _BASIC,
    _KEY,
    _PLAIN_WORD,
    _IN_QUERY,
)

_AT = (
    r"(?:[ \t\n]?@[ \t\n]?|[ \t]?[\[({<_]{1,2}[ \t]?(?:at|a|@|アット(?:マーク)?)[ \t]?[\])}>_]{1,2}[ \t]?"
    r"|[ \t]?[/|][ \t]?(?:at|アット)[ \t]?[/|][ \t]?|[ \t]-[ \t]?at[ \t]?-[ \t]|(?<! )-at-(?! )"
    r"|[ \t]?(?:@マーク|アットマーク|あっとまーく|アット|あっと|[☆★◎●■＊*])[ \t]?"
    r"|%40|&#64;)"
)
_DOT = (
    r"(?:\.|[ ]\.[ ]|\n\.(?=(?:com|co|ne|or|net|org|jp|ac|go)(?![a-z]))|\.\n(?=(?:com|co|ne|or|net|org|jp)(?![a-z]))|。(?=(?:com|co|ne|or|net|org|jp)(?![a-z]))"
    r"|[ \t]?[\[({<_]{1,2}[ \t]?(?:dot|\.|ドット)[ \t]?[\])}>_]{1,2}[ \t]?|[ \t]dot[ \t]"
    r"|[ \t]?(?:ドット|どっと)[ \t]?)"
)
_DOT_WORD = r"(?:[ \t]?[\[({<_]{1,2}[ \t]?(?:dot|ドット)[ \t]?[\])}>_]{1,2}[ \t]?|[ \t]dot[ \t]|[ \t]?(?:ドット|どっと)[ \t]?)"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_TOP = r"(?:[A-Za-z]{2,24}|xn--[A-Za-z0-9-]{2,40})"
EMAIL = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+'-]{{0,63}}(?<!%){_AT}"
    rf"{_LABEL}(?:{_DOT}{_LABEL}){{0,4}}{_DOT}{_TOP}(?![A-Za-z0-9])",
    re.I,
)
EMAIL_QUOTED = re.compile(
    rf"\"[A-Za-z0-9 ._%+-]{{1,64}}\"@{_LABEL}(?:\.{_LABEL}){{0,4}}\.{_TOP}(?![A-Za-z0-9])"
)
EMAIL_NATIVE = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@[一-鿿ぁ-ゖァ-ヺー0-9a-z-]{1,30}"
    r"\.(?:jp|com|net|org|info|東京|みんな|コム|日本)(?![A-Za-z0-9])"
)
EMAIL_APART = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9](?:[ \t][A-Za-z0-9._-]){1,40}[ \t]@(?:[ \t][A-Za-z0-9.-]){3,60}"
    r"(?![A-Za-z0-9])"
)
EMAIL_DOT_SPELLED = re.compile(
    rf"(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._+-]*(?:{_DOT_WORD}[A-Za-z0-9]+){{0,3}}"
    rf"(?:{_AT}|[ \t]at[ \t]){_LABEL}(?:{_DOT}{_LABEL}){{0,4}}{_DOT_WORD}{_TOP}(?![A-Za-z0-9])",
    re.I,
)
EMAIL_AT_WORD = re.compile(
    rf"(?:(?<=[<(\[:「、はがにへ])|(?<=[<(\[:「、はがにへ] ))(?P<value>[A-Za-z0-9._+-]{{2,64}} at {_LABEL}(?:\.{_LABEL}){{0,4}}"
    rf"\.[a-z]{{2,10}})(?![A-Za-z0-9])"
)
EMAIL_OTHER_SIGN = re.compile(
    rf"(?<![A-Za-z0-9._%+-])(?P<value>[A-Za-z0-9_][A-Za-z0-9._+-]{{0,63}}(?P<sign>[^A-Za-z0-9._+\s-])"
    rf"{_LABEL}(?:\.{_LABEL}){{0,4}}\.{_TOP})(?![A-Za-z0-9])(?=[^\n]{{0,30}}(?P=sign)[」』\])]?[をは]"
    r"[^\n]{0,8}(?:@|アット|あっと))"
)
"""With another sign in the place of @, and a word beside it that says so."""
EMAIL_HINT = re.compile(r"@|%40|&#64;|at|[(\[{<_]a[)\]}>_]|アット|あっと|[☆★◎●■＊*]", re.I)
"""No e-mail address is without one of these."""

_IP_DOT = r"(?:\.|。|\[\.\]|\(\.\)|\[dot\])"
IPV4 = re.compile(
    rf"(?<![0-9A-Za-z_.-])(?P<value>[0-9]{{1,3}}(?:{_IP_DOT}[0-9]{{1,3}}){{3}})"
    r"(?![0-9A-Za-z_]|\.[0-9]|-[0-9])"
)
IPV4_APART = re.compile(
    r"(?<![0-9.])(?P<value>[0-9]{1,3}(?:[ \t]\.[ \t]?|[ \t]?\.[ \t])[0-9]{1,3}"
    r"(?:[ \t]?\.[ \t]?[0-9]{1,3}){2})(?![0-9.])",
)
IP_IN_HOST = re.compile(
    r"(?<![0-9A-Za-z-])(?:ip|host|p)?-?(?P<value>[0-9]{1,3}(?:-[0-9]{1,3}){3})(?=[.-][a-z]{2})"
)
IPV6 = re.compile(
    r"(?<![0-9A-Za-z_:.])(?P<value>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
    r"(?:(?<=:)[0-9]{1,3}(?:\.[0-9]{1,3}){3})?)(?![0-9A-Za-z_:]|\.[0-9])"
)
VERSION_LABEL = re.compile(
    r"(?:version|ver\.?|バージョン|ファームウェア|リビジョン|ビルド|build|版|release|リリース|\bv|\br"
    r"|[A-Za-z]-|_|/|第|図|表|節|章|項|§|付録|oid|[<>=~^]=?)[ \t:=]*$",
    re.I,
)
PROGRAM_BEFORE = re.compile(
    r"(?<![A-Za-z0-9])(?!(?:ip|ipv4|host|server|addr|address|from|ping|ssh|dns|gateway|client|to|at|"
    r"telnet|nameserver|inet|remote|via|port)[ \t:=]*$)[A-Za-z][A-Za-z0-9+._-]*[ \t]$",
    re.I,
)
VERSION_AFTER = re.compile(
    r"[ \t]?(?:版|以降|以上|以前|未満|系|リリース|へ(?:の)?(?:更新|アップ)|に(?:更新|アップ|上げ)"
    r"|を(?:公開|リリース|インストール)|[節項章条])"
)
HOST_BEFORE = re.compile(
    r"(?<![A-Za-z])(?:ip|ipv4|host|from|ping|dns|server|address|gateway|client|ssh)(?![A-Za-z])"
    "|アドレス|サーバ|ホスト|接続|端末|アクセス|発信元|送信元|宛先|ゲートウェイ",
    re.I,
)
HOST_AFTER = re.compile(
    r"(?::[0-9]{2,5}(?![0-9])|/[0-9]{1,2}(?![0-9])|[ \t]?(?:から|に接続|へ接続|にアクセス|という(?:IP|アドレス)))"
)
SECTION_NUMBER = re.compile(
    r"(?:^|(?<=\n)|(?<=\n[#|-] )|(?<=\n## )|(?<=\n### ))(?:[1-9]|[12][0-9])"
    r"(?:\.(?:[1-9]|[1-4][0-9])){3}(?:\.(?:\s|$)|[ \t]+[^\s0-9a-z])"
)
