"""The tabs of a run, and the panel of each; a panel's code is loaded when its tab is opened."""

from __future__ import annotations

from so8t_core.contract.rundir import RunDir
from so8t_tui.locale import Words
from so8t_tui.widgets.panel import Panel

TABS = (
    "Overview",
    "Crawl",
    "Cleanse",
    "Model",
    "Train",
    "Evaluate",
    "Report",
    "Log",
    "Resources",
)


def make_panel(number: int, words: Words, run: RunDir) -> Panel:
    """The panel of a tab, by number from 1."""
    from so8t_tui.widgets.overview import Overview

    name = TABS[number - 1]
    if name == "Crawl":
        from so8t_tui.widgets.crawl import Crawl

        return Crawl(words)
    if name == "Cleanse":
        from so8t_tui.widgets.cleanse import Cleanse

        return Cleanse(words)
    if name == "Model":
        from so8t_tui.widgets.model import Model

        return Model(words)
    if name == "Train":
        from so8t_tui.widgets.train import Train

        return Train(words, run)
    if name == "Evaluate":
        from so8t_tui.widgets.evaluate import Evaluate

        return Evaluate(words)
    if name == "Report":
        from so8t_tui.widgets.report import Report

        return Report(words, run)
    if name == "Log":
        from so8t_tui.widgets.log import Log

        return Log(words)
    if name == "Resources":
        from so8t_tui.widgets.machine import MachineTab

        return MachineTab(words)
    return Overview(words)
