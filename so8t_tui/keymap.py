"""Every binding of the interface by name, and the page of docs that lists them."""

from __future__ import annotations

from collections.abc import Iterator

from textual.binding import Binding, BindingType

from so8t_tui.app import ControlCenter
from so8t_tui.screens.choose import ChooseDialog
from so8t_tui.screens.compare import CompareScreen
from so8t_tui.screens.confirm import ConfirmDialog
from so8t_tui.screens.control import ControlDialog
from so8t_tui.screens.dialog import Dialog
from so8t_tui.screens.help import HelpDialog
from so8t_tui.screens.newrun import NewRunDialog
from so8t_tui.screens.quit import QuitDialog
from so8t_tui.screens.run import RunScreen
from so8t_tui.screens.runs import RunsScreen, RunsTable
from so8t_tui.screens.steering import SteeringScreen
from so8t_tui.widgets.chart import ExplorableChart
from so8t_tui.widgets.log import Log
from so8t_tui.widgets.report import Report
from so8t_tui.widgets.train import Train

_PLACES: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("Everywhere", (ControlCenter,)),
    ("The list of runs", (RunsScreen, RunsTable)),
    ("A run", (SteeringScreen, RunScreen)),
    ("Charts (Train, Resources, comparison)", (ExplorableChart,)),
    ("The Train tab", (Train,)),
    ("The Report tab", (Report,)),
    ("The Log tab", (Log,)),
    ("The comparison of two runs", (CompareScreen,)),
    ("Starting a run", (NewRunDialog,)),
    (
        "Questions and lists",
        (Dialog, ConfirmDialog, ControlDialog, ChooseDialog, QuitDialog, HelpDialog),
    ),
)
_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "comma": ",",
    "full_stop": ".",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}
_HEAD = """# Keys

Made from the program's own bindings; a test compares them. `?` shows those that work where you are,
`Ctrl+P` finds them by name.

A key is changed in `~/.config/so8t/interface.toml` (or below `$XDG_CONFIG_HOME`), by the name in
the last column. Several keys are parted by commas; keys are called as
[Textual](https://textual.textualize.io/guide/input/) calls them:

```toml
[keys]
"run.detach" = "ctrl+d"
"run.pause" = "space,f5"
```

The file is read when the interface opens. A name or key that is none, and a key that does something
else in the same place, are said then, with their lines; the others are taken.
"""


def owned_bindings() -> Iterator[tuple[type, Binding]]:
    """Each binding of our own with the class that declares it."""
    for _, owners in _PLACES:
        for owner in owners:
            found: list[BindingType] = vars(owner).get("BINDINGS", [])
            for binding in found:
                assert isinstance(binding, Binding)
                yield owner, binding


def all_bindings() -> Iterator[tuple[str, Binding]]:
    """Each binding of our own with the place where it works."""
    places = {owner: place for place, owners in _PLACES for owner in owners}
    for owner, binding in owned_bindings():
        yield places[owner], binding


def keymap_page() -> str:
    """The text of docs/keymap.md."""
    lines, place = [_HEAD], ""
    for here, binding in all_bindings():
        if here != place:
            place = here
            lines += [f"\n## {place}\n", "| key | does | name |", "|---|---|---|"]
        keys = " ".join(f"`{_SHOWN.get(key, key)}`" for key in binding.key.split(","))
        lines.append(f"| {keys} | {binding.description} | `{binding.id}` |")
    return "\n".join(lines) + "\n"
