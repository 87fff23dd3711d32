"""Files in which an owner reserves a site against training: tdmrep.json and ai.txt."""

from __future__ import annotations

import json
import re
from typing import Any

from so8t_core.crawl.robots import Rules, parse

TDMREP_PATH = "/.well-known/tdmrep.json"
AI_TXT_PATH = "/ai.txt"
_BLANK = b"\xef\xbb\xbf \t\r\n"


def read_tdmrep(body: bytes) -> Rules | None:
    """The reservations of a tdmrep.json as rules; None where the bytes are no list of them.

    Where several locations fit a URL the longest counts, and a reservation beats its contrary.
    Source: TDM Reservation Protocol (W3C community group report), section "tdmrep.json".
    """
    try:
        entries = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list):
        return None
    wishes: dict[str, bool] = {}
    for entry in entries:
        location, reserved = _reservation(entry)
        if location and reserved is not None:
            wishes[location] = reserved or wishes.get(location, False)
    return tuple(("disallow" if wish else "allow", place) for place, wish in wishes.items())


def is_meant_as_json(body: bytes, media_type: str) -> bool:
    """Whether an answer says that it is JSON, be it readable or not: no page in place of a file."""
    return media_type.endswith("json") or body.lstrip(_BLANK)[:1] in (b"[", b"{")


def _reservation(entry: Any) -> tuple[str, bool | None]:
    if not isinstance(entry, dict):
        return "", None
    location, said = entry.get("location"), entry.get("tdm-reservation")
    if (
        not isinstance(location, str)
        or not isinstance(said, bool | int | float | str)
        or said == ""
    ):
        return "", None
    wish = reserves(said) if isinstance(said, str) else bool(said)
    location = location.strip().encode("utf-8", "replace").decode("utf-8")  # no half characters
    rooted = location if location.startswith(("/", "*")) else f"/{location}"
    return rooted, wish


def reserves(value: str) -> bool:
    """Whether a TDM reservation is made: by any of several values; only 0 and nothing make none."""
    return any(part.strip(" \t\"'") not in ("", "0") for part in re.split(r"[,;]", value))


def read_ai_txt(body: bytes, token: str, ai_tokens: tuple[str, ...]) -> Rules:
    """The rules of an ai.txt for us, and those for crawlers that gather text for training.

    It is written like a robots.txt; a page of HTML or of other words under that name says nothing,
    whatever its media type is said to be. Source: Spawning's ai.txt.
    """
    if body.lstrip(_BLANK).startswith(b"<"):
        return ()
    group = parse(body, token, ai_tokens)
    return (*group.rules, *(rule for _, rules in group.ai_rules for rule in rules))
