"""Which layers a setting such as `4-11` names."""

from __future__ import annotations

from so8t_core.contract.errors import ModelError


def select_layers(spec: str, total: int) -> tuple[int, ...]:
    """Indices of the layers that `spec` names in a model of `total` layers, ascending.

    `spec`: `all`, or a list of indices and inclusive ranges such as `0,2,8-15`. Raises `ModelError`
    for a layer that the model does not have or a range that runs backwards.
    """
    if spec == "all":
        return tuple(range(total))
    chosen: set[int] = set()
    for part in spec.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if stop < start or stop >= total:
            raise ModelError(
                f"The layers {part} are not in this model, which has {total} (0 to {total - 1}).",
                where="model.gate.layers",
                hint=f"Write `all`, or a list of indices and ranges from 0 to {total - 1}.",
            )
        chosen.update(range(start, stop + 1))
    return tuple(sorted(chosen))
