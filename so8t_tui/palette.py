"""The colours of the interface: themes of our own, readable and safe for colour-blind eyes.

Hues after Okabe and Ito, "Color Universal Design" (2008), lightened or darkened for contrast. The
colour-blind theme keeps to blue, yellow and greys, which every kind of colour vision tells apart;
the high-contrast themes keep text at 7 to 1 and more. A test computes all contrasts.
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
    "curve-4": "#4cc38a",
    "curve-5": "#d6dde6",
    "curve-faint": "#3d5a72",
    "track": "#263240",
    "heat-low": "#16202b",
    "heat-middle": "#2f7fb5",
    "heat-high": "#ffd37a",
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
    "curve-1": "#0067a3",
    "curve-2": "#8a5200",
    "curve-3": "#8f3369",
    "curve-4": "#0a6b48",
    "curve-5": "#1d2733",
    "curve-faint": "#9fc0d8",
    "track": "#d4dae1",
    "heat-low": "#eef2f5",
    "heat-middle": "#7fb2d6",
    "heat-high": "#6b3f00",
}
_COLOUR_BLIND = {
    **_DARK,
    "ink": "#e6e9ee",
    "soft": "#b3bac6",
    "faint": "#939cab",
    "brand": "#8ec5ff",
    "running": "#6db3ff",
    "good": "#a9d4ff",
    "caution": "#ffd24a",
    "bad": "#ffb000",
    "curve-1": "#6db3ff",
    "curve-2": "#ffd24a",
    "curve-3": "#c9cfd9",
    "curve-4": "#57a5f2",
    "curve-5": "#c99700",
    "curve-faint": "#38506e",
    "heat-low": "#141a24",
    "heat-middle": "#2f6fb5",
    "heat-high": "#ffe08a",
}
_CONTRAST = {
    "ink": "#ffffff",
    "soft": "#ffffff",
    "faint": "#d9d9d9",
    "line": "#8c8c8c",
    "brand": "#6fd6ff",
    "running": "#6fd6ff",
    "good": "#5dff9b",
    "caution": "#ffe14d",
    "bad": "#ffa18f",
    "curve-1": "#6fd6ff",
    "curve-2": "#ffe14d",
    "curve-3": "#ff9df5",
    "curve-4": "#5dff9b",
    "curve-5": "#ffffff",
    "curve-faint": "#4f7688",
    "track": "#404040",
    "heat-low": "#000000",
    "heat-middle": "#0098d6",
    "heat-high": "#ffffff",
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
COLOUR_BLIND = Theme(
    name="so8t-colour-blind",
    primary="#6db3ff",
    secondary="#2f8ae0",
    accent="#ffd24a",
    success="#a9d4ff",
    warning="#ffd24a",
    error="#ffb000",
    foreground="#e6e9ee",
    background="#0e131b",
    surface="#141a24",
    panel="#1b2330",
    dark=True,
    variables=_COLOUR_BLIND,
)
CONTRAST = Theme(
    name="so8t-contrast",
    primary="#6fd6ff",
    secondary="#6fd6ff",
    accent="#ffe14d",
    success="#5dff9b",
    warning="#ffe14d",
    error="#ffa18f",
    foreground="#ffffff",
    background="#000000",
    surface="#0a0a0a",
    panel="#1a1a1a",
    dark=True,
    variables=_CONTRAST,
)
THEMES = (DARK, LIGHT, COLOUR_BLIND, CONTRAST)
THEME_LABELS = {
    DARK.name: "Dark",
    LIGHT.name: "Light",
    COLOUR_BLIND.name: "Colour-blind safe",
    CONTRAST.name: "High contrast",
}
FALLBACK_VARIABLES = _DARK
"""What other themes get for names that only ours define."""
