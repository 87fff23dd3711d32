"""The colours of the interface: one calm dark and one light theme, safe for colour-blind eyes.

Hues after Okabe and Ito, "Color Universal Design" (2008), lightened or darkened for contrast.
"""

from __future__ import annotations

from textual.theme import Theme

_DARK = {
    "ink": "#d6dde6",
    "soft": "#a3afbd",
    "faint": "#8995a4",
    "line": "#2c3744",
    "brand": "#7cc4f0",
    "running": "#56b4e9",
    "good": "#4cc38a",
    "caution": "#e8b04a",
    "bad": "#ff8a70",
    "curve-1": "#56b4e9",
    "curve-2": "#e69f00",
    "curve-3": "#cc79a7",
    "track": "#263240",
}
_LIGHT = {
    "ink": "#1d2733",
    "soft": "#45525f",
    "faint": "#566370",
    "line": "#c9d1d9",
    "brand": "#0b5f93",
    "running": "#0b66a0",
    "good": "#0a6b48",
    "caution": "#805300",
    "bad": "#a8381c",
    "curve-1": "#0072b2",
    "curve-2": "#a86400",
    "curve-3": "#9a3d74",
    "track": "#d4dae1",
}

DARK = Theme(
    name="so8t",
    primary="#56b4e9",
    secondary="#4d7ea8",
    accent="#e69f00",
    success="#4cc38a",
    warning="#e8b04a",
    error="#ff8a70",
    foreground="#d6dde6",
    background="#10161d",
    surface="#151d26",
    panel="#1c2632",
    dark=True,
    variables=_DARK,
)
LIGHT = Theme(
    name="so8t-light",
    primary="#0072b2",
    secondary="#56789a",
    accent="#a86400",
    success="#0a6b48",
    warning="#805300",
    error="#a8381c",
    foreground="#1d2733",
    background="#f7f9fb",
    surface="#eef2f5",
    panel="#e3e8ed",
    dark=False,
    variables=_LIGHT,
)
THEMES = (DARK, LIGHT)
FALLBACK_VARIABLES = _DARK
"""What other themes get for names that only ours define."""
