"""Differences are drawn with the interval of their manifest, and each figure can be traced."""

from __future__ import annotations

from so8t_core.contract.manifest import Manifest
from so8t_core.reporting.catalogue import catalogue
from so8t_core.reporting.differences import difference_blocks
from tests.evaluation.trial import stand_in


def manifest_of(**figures: object) -> Manifest:
    return stand_in("evaluate").model_copy(update={"figures": figures}).sealed()


def difference(value: float, low: float, high: float) -> dict[str, object]:
    return {"base": {"value": 1.0}, "difference": {"value": value, "interval": [low, high]}}


def test_bits_and_scores_are_drawn_apart_each_on_its_own_scale() -> None:
    manifest = manifest_of(
        documents={"bits_per_byte": difference(-0.2, -0.4, -0.1)},
        tasks={"jnli": {"accuracy": difference(0.1, -0.05, 0.2)}},
        refusals={"unsafe": {"refused": difference(0.0, 0.0, 0.0)}},
    )
    bits, scores = difference_blocks(manifest, catalogue("en"))
    assert [label.text for label, *_ in bits.rows] == ["Documents"]
    assert [label.text for label, *_ in scores.rows] == [
        "JNLI · Accuracy",
        "Refusals · XSTest, unsafe · URLs refused",
    ]
    assert bits.shares(0) == (0.25, 0.0, 0.375)
    assert scores.shares(0) == (0.75, 0.375, 1.0)
    assert scores.shares(1) == (0.5, 0.5, 0.5)
    assert bits.rows[0][1].path == ("figures", "documents", "bits_per_byte", "difference", "value")


def test_a_phase_without_differences_has_no_drawing() -> None:
    assert not list(difference_blocks(manifest_of(pages=3), catalogue("ja")))
