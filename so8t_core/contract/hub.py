"""Data sets of the Hugging Face hub, as settings name them: `hub:OWNER/NAME[:CONFIG][@SPLIT]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from so8t_core.contract.errors import InputMissing, Unreachable
from so8t_core.contract.settings.tasks import HUB


def hub_rows(place: str, *, split: str) -> Iterator[dict[str, Any]]:
    """The rows of a data set, which is fetched whole; `split` where the place names none.

    Raises `InputMissing` where the hub has no such data set, `Unreachable` for a silent one.
    """
    import datasets

    name, _, named = place.removeprefix(HUB).partition("@")
    owner_name, _, config = name.partition(":")
    try:
        found = datasets.load_dataset(owner_name, config or None, split=named or split)
    except ConnectionError as error:
        raise Unreachable(
            "The Hugging Face hub does not answer.",
            where=place,
            hint="Try again later, or fetch the file yourself and name its path in place of this.",
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InputMissing(
            f"The hub has no such data set ({str(error).splitlines()[0][:160]}).",
            where=place,
            hint="Check owner, name, :CONFIG and @SPLIT.",
        ) from error
    for row in found:
        yield dict(row)
