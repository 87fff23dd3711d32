"""Which layers or blocks a setting such as `4-11` names."""

from __future__ import annotations

from typing import Literal

from so8t_core.contract.errors import ModelError


def select(spec: str, total: int, what: Literal["layers", "blocks"]) -> tuple[int, ...]:
    """Indices of the layers or blocks that `spec` names where there are `total`, ascending.

    `spec`: `all`, or a list of indices and inclusive ranges such as `0,2,8-15`. Raises `ModelError`
    for one that the model does not have or a range that runs backwards.
    """
    if spec == "all":
        return tuple(range(total))
    chosen: set[int] = set()
    for part in spec.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if stop < start or stop >= total:
            raise ModelError(
                f"The {what} {part} are not in this model, which has {total} (0 to {total - 1}).",
                where=f"model.gate.{what}",
                hint=f"Write `all`, or a list of indices and ranges from 0 to {total - 1}.",
            )
        chosen.update(range(start, stop + 1))
    return tuple(sorted(chosen))
