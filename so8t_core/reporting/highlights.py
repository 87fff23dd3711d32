"""The figures that stand at the top of a report, where their phases give them."""

from __future__ import annotations

from so8t_core.contract.phases import PhaseName

Highlight = tuple[str, PhaseName, tuple[str, ...]]

HIGHLIGHTS: tuple[Highlight, ...] = (
    ("tile_pages", "crawl", ("pages_kept",)),
    ("tile_documents", "cleanse", ("documents_kept",)),
    ("tile_steps", "train", ("steps",)),
    ("tile_loss", "train", ("final_loss",)),
    ("tile_base", "evaluate", ("documents", "bits_per_byte", "base", "value")),
    ("tile_tuned", "evaluate", ("documents", "bits_per_byte", "tuned", "value")),
    ("tile_verdict", "evaluate", ("documents", "verdict")),
    ("tile_identity", "integrate", ("logit_difference",)),
    ("tile_fold", "export", ("proof", "relative")),
)
"""Wording, phase, and key path below the manifest's `figures`."""
