"""How figures look. No global state: STYLE is a dict for `matplotlib.rc_context`; an arm looks the same everywhere."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter

from analysis.io.study import BASE

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches: the widths of a two-column paper

STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "sans-serif"],  # the first ships with Matplotlib and has the Greek
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titley": 1.0,  # above the axes without a search at every drawing: no ticks are there
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,  # long enough to tell the dashes apart
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
    "hatch.linewidth": 0.4,
    "pdf.fonttype": 42,  # TrueType: text stays text, and submission systems accept it
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "agrae_lab",  # the same figure is the same file
    "text.parse_math": False,  # a "$" in a name is a "$"
}

LABELS = {
    BASE: "Base model",
    "grpo": "GRPO",
    "grpo_lead": "GRPO-LEAD",
    "grpo+dapo": "DAPO",
    "dr_grpo+dr_grpo": "Dr.GRPO",
    "w_reinforce": "W-REINFORCE",
    "positive_dominant": "Positive-Dominant",
    "negative_dominant": "Negative-Dominant",
    "hard_focused": "Hard-Focused",
    "easy_focused": "Easy-Focused",
    "a_grae_sample_only": "A-GRAE (sample level only)",
    "a_grae_group_only": "A-GRAE (group level only)",
    "a_grae": "A-GRAE",
    "a_grae+dapo": "DAPO + A-GRAE",
    "a_grae+dr_grpo+dr_grpo": "Dr.GRPO + A-GRAE",
    "dr_grpo": "Dr.GRPO (with GRPO's loss)",
    "rloo": "RLOO",
}

# Dashes: lengths in line widths, line and gap by turns.
_SOLID, _DASHED, _DOTTED = (0.0, ()), (0.0, (4.0, 1.5)), (0.0, (1.0, 1.1))
_DASH_DOT, _DASH_DOT_DOT = (0.0, (4.0, 1.2, 1.0, 1.2)), (0.0, (4.0, 1.0, 1.0, 1.0, 1.0, 1.0))
_LONG, _LOOSE = (0.0, (9.0, 2.0)), (0.0, (3.0, 3.0))


@dataclass(frozen=True)
class Look:
    """How an arm is drawn; `on_dark` is its colour on a dark page."""

    colour: str
    on_dark: str
    marker: str
    dash: tuple[float, tuple[float, ...]]


# Chosen by a search from Okabe and Ito's palette, for colours that stay apart for the colour-blind (CIE 1976 distance
# of at least 17 with normal sight, protanopia and deuteranopia), stand out from their page, and in grey differ in
# lightness where the dash is the same. The tests hold them to it.
_LOOKS = {
    BASE: Look("#616161", "#9C9C9C", "s", _DOTTED),
    "grpo": Look("#000000", "#EDEDED", "o", _SOLID),
    "grpo_lead": Look("#115B32", "#088559", "<", _DASH_DOT),
    "grpo+dapo": Look("#402696", "#5A4CFF", ">", _SOLID),
    "dr_grpo+dr_grpo": Look("#720606", "#C5371D", "d", _DASHED),
    "w_reinforce": Look("#8F2C7B", "#AA47B8", "8", _LOOSE),
    "positive_dominant": Look("#D3000D", "#F10859", "^", _DASHED),
    "negative_dominant": Look("#0168B0", "#00AFFF", "v", _LONG),
    "hard_focused": Look("#C46A9E", "#99588F", "D", _DASH_DOT),
    "easy_focused": Look("#D18812", "#FFB60D", "p", _DASHED),
    "a_grae_sample_only": Look("#4D9FD6", "#B8CCFF", "X", _DASH_DOT_DOT),
    "a_grae_group_only": Look("#407517", "#A4E982", "h", _DASH_DOT_DOT),
    "a_grae": Look("#009E73", "#0BE7A4", "P", _SOLID),
    "a_grae+dapo": Look("#897CEB", "#577BFF", "*", _LOOSE),
    "a_grae+dr_grpo+dr_grpo": Look("#CB7647", "#F08840", "H", _DOTTED),
}
_OTHER_COLOURS = ("#882255", "#2A8C80", "#332288", "#AA4499", "#117733", "#7F7F1A", "#661100")
_OTHER_MARKERS = "<>d8*H"
_OTHER_DASHES = (_LONG, _DASH_DOT_DOT, _DASH_DOT, _DASHED)

# Shares in [0, 1] on an axis that reads in percent.
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g}".replace("-", "−"))


def label(arm: object) -> str:
    """What readers call an arm: `a_grae` → A-GRAE, `grpo-1a2b3c4d` → GRPO (1a2b3c4d), `a_grae+l1` → A-GRAE + l1, others
    by their own name."""
    if (known := LABELS.get(str(arm))) is not None:
        return known
    name, _, digest = str(arm).rpartition("-")
    if name in LABELS:
        return f"{LABELS[name]} ({digest})"
    preset, *differences = str(arm).split("+")
    if preset in LABELS and differences:
        return " + ".join([LABELS[preset], *differences])
    return str(arm).replace("_", " ")


def look(arm: str) -> Look:
    """An arm's look: fixed for the paper's arms, derived from the name for any other."""
    if (known := _LOOKS.get(arm)) is not None:
        return known
    ahead, back = zlib.crc32(arm.encode()), zlib.crc32(arm.encode()[::-1])
    colour = _OTHER_COLOURS[ahead % len(_OTHER_COLOURS)]
    return Look(
        colour,
        _mirrored(colour),
        _OTHER_MARKERS[back % len(_OTHER_MARKERS)],
        _OTHER_DASHES[(ahead ^ back) % len(_OTHER_DASHES)],
    )


def colour(arm: str) -> str:
    return look(arm).colour


def marker(arm: str) -> str:
    return look(arm).marker


def dash(arm: str) -> tuple[float, tuple[float, ...]]:
    """An arm's line style as Matplotlib takes it: arms of like lightness differ in it, for print in grey."""
    return look(arm).dash


def line_style(arm: str) -> dict[str, Any]:
    """Keyword arguments of `Axes.plot` for an arm's line with its markers."""
    known = look(arm)
    return {"color": known.colour, "marker": known.marker, "linestyle": known.dash}


def sort_arms(arms: list[str]) -> list[str]:
    """Base first, then the paper's arms in the paper's order, then others by name."""
    known = list(LABELS)
    return sorted(arms, key=lambda arm: (known.index(arm) if arm in known else len(known), arm))


_PAGE, _INK = 0.09, 0.93  # what white and black become on a dark page
_LUMA = (0.2126, 0.7152, 0.0722)


def dark(svg: str) -> str:
    """The same SVG for a dark page: arms in their colours for it, everything else with its lightness mirrored.

    Element names get a prefix of their own, so that the light and the dark drawing can stand in one document.
    """
    svg = re.sub(r'((?:fill|stroke|stop-color)(?:: |="))(#[0-9a-f]{6})', lambda m: m[1] + on_dark(m[2]), svg)
    svg = re.sub(r'( id="|url\(#|href="#)', r"\1dark-", svg)
    return svg.replace("<svg ", f'<svg fill="{on_dark("#000000")}" ', 1)  # what is black has no fill of its own


def on_dark(colour: str) -> str:
    """`#rrggbb` as it is drawn on a dark page."""
    return _ON_DARK.get(colour.upper()) or _mirrored(colour)


def _mirrored(colour: str) -> str:
    """The colour with its lightness turned about, its hue and colourfulness as they were."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    luma = sum(weight * part for weight, part in zip(_LUMA, parts, strict=True))
    shift = _INK + luma * (_PAGE - _INK) - luma
    return "#" + "".join(f"{round(255 * min(max(part + shift, 0.0), 1.0)):02X}" for part in parts)


_ON_DARK = {known.colour: known.on_dark for known in _LOOKS.values()}
