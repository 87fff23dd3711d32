"""What is left after each reason to drop something: a funnel of bars, and what each took away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual.content import Content

from so8t_tui.amounts import number
from so8t_tui.text import fitted, right
from so8t_tui.widgets.card import Card
from so8t_tui.widgets.counts import bar

_NAME_SHARE = 0.4


@dataclass(frozen=True)
class Stage:
    """A line of the funnel: how many are left, and how many this stage took away."""

    name: str
    left: float
    taken: float = 0.0
    style: str = "$curve-1"


class Funnel(Card[tuple[Stage, ...]]):
    """The first stage is the whole; what does not fit is summed up before the last."""

    def draw(self, value: tuple[Stage, ...], width: int, height: int) -> Sequence[Content]:
        stages = _shortened(value, height)
        whole = max(stage.left for stage in stages) or 1.0
        names = max(cell_len(stage.name) for stage in stages)
        name_width = min(names, max(6, int(width * _NAME_SHARE)))
        left_width = max(len(number(stage.left)) for stage in stages)
        taken_width = max(len(_taken(stage)) for stage in stages)
        room = max(0, width - name_width - left_width - taken_width - 4)
        return [
            Content.assemble(
                (fitted(stage.name, name_width), "$soft"),
                (" " + right(number(stage.left), left_width) + " ", "$ink"),
                (right(_taken(stage), taken_width) + " ", "$caution"),
                (_centred(stage.left / whole, room), stage.style),
            )
            for stage in stages
        ]


def _taken(stage: Stage) -> str:
    return f"-{number(stage.taken)}" if stage.taken else ""


def _centred(share: float, room: int) -> str:
    drawn = bar(share, room)
    return " " * ((room - cell_len(drawn)) // 2) + drawn


def _shortened(stages: tuple[Stage, ...], height: int) -> tuple[Stage, ...]:
    if len(stages) <= height or height < 3:
        return stages[: max(1, height)]
    *head, last = stages
    kept, hidden = head[: height - 2], head[height - 2 :]
    rest = Stage(
        f"+ {len(hidden)}", hidden[-1].left, sum(stage.taken for stage in hidden), hidden[-1].style
    )
    return (*kept, rest, last)
