from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from so8t_core.contract.settings import Settings
from so8t_core.export.model_card import CardFacts, render_card, render_folded_card

PROOF = {"relative": 1e-6}
FIGURES: dict[str, Any] = {
    "fold": {"folded_layers": 4, "merged_weights": 16},
    "proof": PROOF,
    "gguf": {},
    "measured": {},
}
OF_THE_CORPUS = ("web pages", "Japanese", "language: ja", "Unsafe pages")


def settings(own_data: bool, tmp_path: Path) -> Settings:
    train = {"dataset": str(tmp_path / "own.jsonl")} if own_data else {}
    return Settings.model_validate({"train": train})


@pytest.mark.parametrize("own_data", [False, True], ids=["corpus", "own"])
def test_of_data_of_the_user_s_own_nothing_is_claimed(own_data: bool, tmp_path: Path) -> None:
    made = settings(own_data, tmp_path)
    cards = (
        render_folded_card(made, PROOF),
        render_card(CardFacts.of(made, {}, FIGURES)),
    )
    for card in cards:
        assert [name for name in OF_THE_CORPUS if name in card] == (
            [] if own_data else list(OF_THE_CORPUS)
        )
        assert ("a data set of its maker's own" in card) == own_data
