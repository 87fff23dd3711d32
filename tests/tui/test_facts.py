"""Groups of figures: a heading and what stands below it, in the interface's language."""

from so8t_tui.locale import Words
from so8t_tui.widgets.counts import counts_of
from so8t_tui.widgets.facts import Fact, Facts
from so8t_tui.widgets.panel import Panel


def test_a_group_has_a_heading_and_one_figure_alone_has_none() -> None:
    panel = Panel(Words("en"))
    facts = panel.facts_from({"fold": {"onto": "original", "gates": 30}, "seen": {"pages": 2}})
    assert [(fact.label, fact.value) for fact in facts] == [
        ("fold", ""),
        ("  onto", "original"),
        ("  gates", "30"),
        ("seen · pages", "2"),
    ]


def test_a_heading_takes_the_width_of_its_column_and_no_label_of_the_others() -> None:
    facts = (Fact("a heading that is much longer than its figures", ""), Fact("  a", "1"))
    first, second = (line.plain for line in Facts("").draw(facts, 30, 5))
    assert first == "a heading that is much longer…"
    assert second.rstrip() == "  a  1"


def test_yes_and_no_and_the_names_of_counts_are_in_japanese() -> None:
    panel = Panel(Words("ja"))
    assert panel.facts_from({"logits_equal": True})[0].value == "はい"
    assert counts_of({"near_duplicate": 2, "ALLOW": 1}, panel.words) == (
        ("近似重複", 2.0),
        ("ALLOW", 1.0),
    )
