"""How figures look. No global state: STYLE is a dict for `matplotlib.rc_context`; an arm looks the same everywhere."""

from __future__ import annotations

import zlib
from typing import Any

from matplotlib.ticker import FuncFormatter

from .frames import BASE

PANEL_SIZE = (3.4, 2.5)  # inches; one panel is a column of a two-column paper

STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "font.family": "DejaVu Sans",  # ships with Matplotlib and has the Greek letters
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,  # TrueType: text stays text, and submission systems accept it
    "ps.fonttype": 42,
    "text.parse_math": False,  # a "$" in a name is a "$"
}

LABELS = {
    BASE: "Base model",
    "grpo": "GRPO",
    "positive_dominant": "Positive-Dominant",
    "negative_dominant": "Negative-Dominant",
    "hard_focused": "Hard-Focused",
    "easy_focused": "Easy-Focused",
    "a_grae": "A-GRAE",
    "a_grae_sample_only": "A-GRAE (sample level only)",
    "a_grae_group_only": "A-GRAE (group level only)",
    "dr_grpo": "Dr.GRPO",
    "dapo": "DAPO",
    "rloo": "RLOO",
    "w_reinforce": "W-REINFORCE",
}

# Okabe and Ito's colour-blind-safe palette, its yellow darkened to be seen on white. Base is grey.
_COLOURS = {
    BASE: "#7F7F7F",
    "grpo": "#000000",
    "positive_dominant": "#D55E00",
    "negative_dominant": "#0072B2",
    "hard_focused": "#CC79A7",
    "easy_focused": "#E69F00",
    "a_grae": "#009E73",
    "a_grae_sample_only": "#56B4E9",
    "a_grae_group_only": "#B59F00",
}
_OTHER_COLOURS = ("#882255", "#44AA99", "#332288", "#AA4499", "#117733", "#999933", "#661100")

_MARKERS = {
    BASE: "s",
    "grpo": "o",
    "positive_dominant": "^",
    "negative_dominant": "v",
    "hard_focused": "D",
    "easy_focused": "p",
    "a_grae": "P",
    "a_grae_sample_only": "X",
    "a_grae_group_only": "h",
}
_OTHER_MARKERS = "<>d8*"


# Shares in [0, 1] on an axis that reads in percent.
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g}".replace("-", "−"))


def label(arm: object) -> str:
    """What readers call an arm: `a_grae` → A-GRAE, `grpo-1a2b3c4d` → GRPO (1a2b3c4d), `a_grae+l1` → A-GRAE + l1, others
    by their own name."""
    if (known := LABELS.get(str(arm))) is not None:
        return known
    preset, *differences = str(arm).split("+")
    if preset in LABELS and differences:
        return " + ".join([LABELS[preset], *differences])
    name, _, digest = str(arm).rpartition("-")
    return f"{LABELS[name]} ({digest})" if name in LABELS else str(arm).replace("_", " ")


def colour(arm: str) -> str:
    """An arm's colour: fixed for the paper's arms, derived from the name for any other."""
    return _COLOURS.get(arm) or _OTHER_COLOURS[zlib.crc32(arm.encode()) % len(_OTHER_COLOURS)]


def marker(arm: str) -> str:
    return _MARKERS.get(arm) or _OTHER_MARKERS[zlib.crc32(arm.encode()[::-1]) % len(_OTHER_MARKERS)]


def sort_arms(arms: list[str]) -> list[str]:
    """Base first, then the paper's arms in the paper's order, then others by name."""
    known = list(LABELS)
    return sorted(arms, key=lambda arm: (known.index(arm) if arm in known else len(known), arm))
