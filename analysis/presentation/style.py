"""Style of the figures: rcParams for `matplotlib.rc_context`, and the label, colour, marker and dash of every arm.

Nothing is set globally, and an arm looks the same in every figure.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.ticker import FuncFormatter

from analysis.io.study import BASE

ONE_COLUMN, TWO_COLUMNS = 3.3, 6.9  # inches: column widths of a two-column paper

STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "font.family": "sans-serif",
    "font.sans-serif": [
        "DejaVu Sans",
        "Verdana",
        "sans-serif",
    ],  # the first ships with Matplotlib and has Greek letters
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titley": 1.0,  # fixed: there are no ticks at the top, and a search for them is slow
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.6,  # long enough to tell the dashes apart
    "legend.columnspacing": 1.4,
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
    "pdf.fonttype": 42,  # TrueType: submission systems accept it, and text stays text
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "agrae_lab",  # same figure, same bytes
    "text.parse_math": False,  # a name may contain "$"
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

# Dash patterns: offset, and lengths of line and gap in line widths.
_SOLID, _DASHED, _DOTTED = (0.0, ()), (0.0, (4.0, 1.5)), (0.0, (1.0, 1.1))
_DASH_DOT, _DASH_DOT_DOT = (0.0, (4.0, 1.2, 1.0, 1.2)), (0.0, (4.0, 1.0, 1.0, 1.0, 1.0, 1.0))
_LONG, _LOOSE = (0.0, (9.0, 2.0)), (0.0, (3.0, 3.0))


@dataclass(frozen=True)
class Look:
    """Appearance of an arm; `on_dark` is its colour on a dark page."""

    colour: str
    on_dark: str
    marker: str
    dash: tuple[float, tuple[float, ...]]


# Found by a search that started from Okabe and Ito's palette. Any two colours are at least 17 apart (CIE 1976 distance)
# for normal sight, protanopia and deuteranopia; each contrasts with its page; arms with the same dash differ in
# lightness. tests/analysis/presentation/test_style.py checks all three.
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

_MATCHED = re.compile(r"[+_]l1$")  # in the names of arms that are scaled to GRPO's update mass

# Axis labels in percent for values in [0, 1].
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:zg}".replace("-", "−"))


def label(arm: object) -> str:
    """Return an arm's display name: `a_grae+l1` → A-GRAE + l1, `grpo (num_steps 8)` → GRPO (num_steps 8).

    Of a name with several differences, the longest known beginning counts: `grpo+dapo+resampled` → DAPO + resampled.
    An unknown arm keeps its name, with spaces for underscores.
    """
    if (known := LABELS.get(str(arm))) is not None:
        return known
    name, bracket, settings = str(arm).partition(" (")
    if bracket:
        return f"{label(name)} ({settings}"
    parts = _MATCHED.sub("+l1", str(arm)).split("+")
    for num in range(len(parts) - 1, 0, -1):
        if (known := LABELS.get("+".join(parts[:num]))) is not None:
            return " + ".join([known, *parts[num:]])
    return str(arm).replace("_", " ")


def minus(arm: object, reference: object) -> str:
    """Return the name of a difference between two arms: `A-GRAE − GRPO`, `GRPO − (GRPO + reward=random)`."""
    other = label(reference)
    return f"{label(arm)} − {f'({other})' if ' + ' in other else other}"


def look(arm: str) -> Look:
    """Return an arm's look: fixed for the paper's arms, derived from the name for any other.

    An arm of the paper at GRPO's update mass has that arm's colour, and a dash of its own; one of several
    configurations has a marker of its own as well.
    """
    if (known := _LOOKS.get(arm)) is not None:
        return known
    if (known := _LOOKS.get(_MATCHED.sub("", arm))) is not None:
        return replace(known, dash=_LOOSE if known.dash != _LOOSE else _DOTTED)
    ahead, back = zlib.crc32(arm.encode()), zlib.crc32(arm.encode()[::-1])
    colour, marker = _OTHER_COLOURS[ahead % len(_OTHER_COLOURS)], _OTHER_MARKERS[back % len(_OTHER_MARKERS)]
    dash = _OTHER_DASHES[(ahead ^ back) % len(_OTHER_DASHES)]
    if (known := _LOOKS.get(arm.partition(" (")[0])) is not None:
        return replace(known, marker=marker, dash=dash)
    return Look(colour, _mirrored(colour), marker, dash)


def colour(arm: str) -> str:
    """Return an arm's colour on a light page, as `#rrggbb`."""
    return look(arm).colour


def marker(arm: str) -> str:
    """Return an arm's Matplotlib marker."""
    return look(arm).marker


def dash(arm: str) -> tuple[float, tuple[float, ...]]:
    """Return an arm's dash pattern for Matplotlib; in grey print it separates arms of similar lightness."""
    return look(arm).dash


def line_style(arm: str) -> dict[str, Any]:
    """Return the keyword arguments of `Axes.plot` for an arm's line with markers."""
    known = look(arm)
    return {"color": known.colour, "marker": known.marker, "linestyle": known.dash}


def sort_arms(arms: list[str]) -> list[str]:
    """Return the arms in display order: base, the paper's arms in the paper's order, others by name."""
    known = list(LABELS)
    place = {arm: arm.partition(" (")[0] for arm in arms}
    return sorted(arms, key=lambda arm: (known.index(place[arm]) if place[arm] in known else len(known), arm))


_PAGE, _INK = 0.09, 0.93  # luma of white and of black on a dark page
_LUMA = (0.2126, 0.7152, 0.0722)


def dark(svg: str) -> str:
    """Return an SVG recoloured for a dark page.

    Arms take their dark colours; every other colour has its lightness mirrored. Element ids get a prefix, so that one
    document can hold both drawings.
    """
    svg = re.sub(r'((?:fill|stroke|stop-color)(?:: |="))(#[0-9a-f]{6})', lambda m: m[1] + on_dark(m[2]), svg)
    svg = re.sub(r'( id="|url\(#|href="#)', r"\1dark-", svg)
    return svg.replace("<svg ", f'<svg fill="{on_dark("#000000")}" ', 1)  # black elements have no fill attribute


def on_dark(colour: str) -> str:
    """Return the colour that replaces `#rrggbb` on a dark page."""
    return _ON_DARK.get(colour.upper()) or _mirrored(colour)


def _mirrored(colour: str) -> str:
    """Return the colour with mirrored luma and unchanged hue."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    luma = sum(weight * part for weight, part in zip(_LUMA, parts, strict=True))
    shift = _INK + luma * (_PAGE - _INK) - luma
    return "#" + "".join(f"{round(255 * min(max(part + shift, 0.0), 1.0)):02X}" for part in parts)


_ON_DARK = {known.colour: known.on_dark for known in _LOOKS.values()}
