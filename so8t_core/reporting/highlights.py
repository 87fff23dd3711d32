"""The figures that stand at the top of a report, where their phases give them."""

from __future__ import annotations

from so8t_core.contract.phases import PhaseName

Highlight = tuple[str, PhaseName, tuple[str, ...]]

HIGHLIGHTS: tuple[Highlight, ...] = (
    ("tile_pages", "crawl", ("pages_kept",)),
    ("tile_documents", "cleanse", ("documents_kept",)),
    ("tile_steps", "train", ("steps",)),
    ("tile_loss", "train", ("final_loss",)),
)
"""Wording, phase, and key path below the manifest's `figures`."""
