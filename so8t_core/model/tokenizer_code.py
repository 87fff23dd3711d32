"""Python files of a model folder that its tokenizer is made of: they travel with it, no others."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
_IMPORTED = re.compile(r"^\s*(?:from|import)\s+\.(\w+)", re.MULTILINE)
"""A module beside this one, in an import statement."""


def tokenizer_code(path: Path) -> frozenset[str]:
    """Names of the folder's own Python files that its tokenizer is made of; most have none.

    Those that the auto_map of tokenizer_config.json names (transformers' form: MODULE.CLASS), and
    those of the folder that they import from beside them.
    """
    try:
        named = json.loads((path / TOKENIZER_CONFIG_FILE).read_text(encoding="utf-8"))["auto_map"]
        values = list(named.values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return frozenset()  # there is none, or loading the tokenizer says what is wrong
    found: set[str] = set()
    waiting = [
        one.partition(".")[0]
        for value in values
        for one in (value if isinstance(value, list) else [value])
        if isinstance(one, str) and "--" not in one  # code of another repository
    ]
    while waiting:
        name = f"{waiting.pop()}.py"
        if name in found or Path(name).name != name or not os.path.isfile(path / name):
            continue  # unlike Path's, False for a name that is too long
        found.add(name)
        waiting += _IMPORTED.findall((path / name).read_text(encoding="utf-8", errors="replace"))
    return frozenset(found)
