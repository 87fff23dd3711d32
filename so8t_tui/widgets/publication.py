"""How `so8t export ollama` goes, while it runs and after it."""

from __future__ import annotations

from so8t_core.contract.publication import Publication
from so8t_tui.amounts import measured
from so8t_tui.locale import Words
from so8t_tui.standing import LOOKS, Standing
from so8t_tui.text import outside
from so8t_tui.widgets.facts import Fact

_TOLD_LIMIT = 200


def publication_facts(told: Publication | None, words: Words) -> tuple[Fact, ...]:
    """As facts: how it stands, where, and its newest word; none where nothing was published."""
    if told is None:
        return ()
    look = LOOKS[_standing(told)]
    counted = (Fact("Ollama · " + words("progress"), _amount(told)),) if _amount(told) else ()
    return (
        Fact("Ollama", f"{look.glyph} {words(look.word)}", look.style),
        *counted,
        Fact("Ollama · " + words("name"), outside(told.name, _TOLD_LIMIT)),
        Fact("Ollama · " + words("server"), outside(told.host, _TOLD_LIMIT)),
        Fact("Ollama · " + words(_tense(told)), outside(told.step, _TOLD_LIMIT)),
    )


def publication_tale(told: Publication, words: Words) -> str:
    """In one line: how it stands and its newest word."""
    look = LOOKS[_standing(told)]
    parts = (f"{look.glyph} Ollama", words(look.word), _amount(told))
    return f"{' '.join(filter(None, parts))}: {outside(told.step, _TOLD_LIMIT)}"


def _standing(told: Publication) -> Standing:
    return "interrupted" if told.state == "cut off" else told.state


def _tense(told: Publication) -> str:
    return "first answer" if told.state == "done" else "error" if told.state == "failed" else "step"


def _amount(told: Publication) -> str:
    """Bytes of the step, where Ollama counts them."""
    if told.done_bytes is None or not told.total_bytes:
        return ""
    _, of = measured("size_bytes", told.total_bytes)
    return f"{100 * told.done_bytes / told.total_bytes:.0f} % / {of}"
