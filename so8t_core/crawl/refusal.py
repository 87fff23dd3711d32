"""Why something was not fetched or not kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Why a URL was not fetched or its page not kept: the rule, whose rule, and its words."""

    rule: str
    source: str
    detail: str = ""
