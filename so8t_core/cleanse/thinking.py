"""Samples in four parts: what is asked, whether it may be answered, how, and the answer.

The first three parts are written by rule from what the ledger knows of a page (its rule, label,
categories, masked data, licence), and are marked synthetic. The last part is text of people: found
on the page, or one of the refusals written for this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from so8t_core.cleanse.document import identifier
from so8t_core.cleanse.tables import InstructionRow, SafetyRow, ThinkingRow
from so8t_core.contract.labels import SafetyLabel
from so8t_core.contract.settings.cleanse import CleanseSettings
from so8t_core.contract.thinking import SEQUENCE, Part

_TAG_LIKE = re.compile(r"<\s*/?\s*(?:think|final)", re.IGNORECASE)
_TASKS: Mapping[str, str] = {
    "faq_json_ld": "よくある質問の一つに答えることを求められている。",
    "qa_json_ld": "質問に対する採用済みの回答を求められている。",
    "question_microdata": "質問に対する回答を求められている。",
    "how_to_json_ld": "作業の手順を順番に示すことを求められている。",
    "question_list": "質問に対する回答を求められている。",
    "question_heading": "見出しの問いに対する説明を求められている。",
    "definition_list": "用語の意味の説明を求められている。",
    "title_lead": "題と書き出しに続く本文を求められている。",
}
_CHECK = "次の内容が示された。これが何を求めるものかを確かめる。"
_POLICIES: Mapping[SafetyLabel, str] = {
    SafetyLabel.DENY: "この種の内容は提供しない。断り、別の話題を促す。",
    SafetyLabel.REFUSE: "危害や違法につながるため手伝わない。断り、安全な方法なら応じると伝える。",
    SafetyLabel.ESCALATION: "自動では判断しない。人による確認に回すと伝える。",
}


def thinking_row(
    row: InstructionRow | SafetyRow, masked: int, settings: CleanseSettings
) -> ThinkingRow | None:
    """The sample of a pair or of a flagged passage, on whose page so many values were masked.

    None for what holds something like a tag of the four parts.
    """
    made = _answered(row, masked) if isinstance(row, InstructionRow) else _refused(row, settings)
    return None if _holds_tag(made) else made


def _holds_tag(row: ThinkingRow) -> bool:
    written = row.output
    for tag in SEQUENCE:
        written = written.replace(tag, "", 1)
    return any(_TAG_LIKE.search(text) for text in (row.instruction, row.input, written))


def _in_parts(*parts: str) -> str:
    return "".join(
        f"{part.opener}{text}{part.closer}" for part, text in zip(Part, parts, strict=True)
    )


def _answered(pair: InstructionRow, masked: int) -> ThinkingRow:
    safety = "有害な内容の規則に当たるものはない。ラベルは ALLOW。"
    if masked:
        safety += f"元のページでは個人情報など{masked}件を伏せた。伏せた値は推測しない。"
    policy = f"ページにある文章で答える。出典は {pair.host}、ライセンスは {pair.licence}。"
    return ThinkingRow(
        id=identifier(pair.id, "thinking"),
        instruction=pair.instruction,
        input=pair.input,
        output=_in_parts(_TASKS[pair.rule], safety, policy, pair.output),
        label=SafetyLabel.ALLOW.value,
        synthetic=[part.value for part in Part if part is not Part.FINAL],
        rule=pair.rule,
        url=pair.url,
        host=pair.host,
        licence=pair.licence,
        group=pair.group,
    )


def _refused(row: SafetyRow, settings: CleanseSettings) -> ThinkingRow:
    label = SafetyLabel.read(row.label)
    safety = f"該当する分類は {'、'.join(row.categories) or 'unknown'}。ラベルは {label.value}。"
    return ThinkingRow(
        id=identifier(row.id, "thinking"),
        instruction=row.text[: settings.max_safety_characters],
        input="",
        output=_in_parts(_CHECK, safety, _POLICIES[label], row.response),
        label=label.value,
        synthetic=[part.value for part in Part],
        rule="flagged",
        url=row.url,
        host="",
        licence="unknown",
        group=row.group,
    )
