"""Update mass by sign against training step: absolute, and relative to plain GRPO's on the same rewards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator, StrMethodFormatter

from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps, summarize_steps
from analysis.io.study import Study

NAME = "mass_by_sign"
QUESTION = "How much does an arm push correct completions up and incorrect ones down, compared with plain GRPO?"
PAPER = ""

# ticks within a decade: few on an axis over more than one decade, many on any other
_DECADE = 10.0
_COARSE = (1.0, 2.0, 5.0)
_FINE = (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
_AROUND_ONE = (0.8, 1.25)  # least range of a ratio's axis, else rounding errors look like a curve
_COLUMNS = {"Positive advantages": "adv_positive_mass", "Negative advantages": "adv_negative_mass"}


def table(study: Study) -> pd.DataFrame:
    """Return rows of series_table for each sign: kind "mass", and kind "ratio" to GRPO's mass of that sign.

    GRPO's advantages sum to zero in every group (paper Eq. 5), so its mass of each sign is half of its Σ|A|.
    """
    masses, ratios = [], []
    for panel, column in _COLUMNS.items():
        masses.append(series_table(study, column).assign(panel=panel, kind="mass"))
        ratio = series_table(study, column, over="grpo_abs_sum").assign(panel=f"{panel}, relative", kind="ratio")
        scaled = ["value", "lo", "hi", "smooth"]
        ratio[scaled] = 2 * ratio[scaled]
        ratios.append(ratio)
    return pd.concat([*masses, *ratios], ignore_index=True)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then lines, seeds and interval."""
    return (
        "Σ|A| over the batch's completions of each sign: absolute (above) and relative to plain GRPO's on the same "
        f"rewards (below). {summarize_steps(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return how to read the panels, then smoothing, unfinished runs and collapses."""
    return [
        "Plain GRPO's positive and negative mass are equal.",
        "Log scales: a batch without advantages of that sign has no point.",
        *describe_steps(table),
    ]


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one panel on a log scale; a line at 1 for ratios."""
    draw_steps(table, ax)
    ax.set_yscale("log", nonpositive="mask")
    if table["kind"].iloc[0] == "ratio":
        ax.axhline(1.0, color="0.4", linewidth=0.8, zorder=1)
        ax.set_ylabel("Σ|A| / GRPO's")
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, _AROUND_ONE[0]), max(high, _AROUND_ONE[1]))
    else:
        ax.set_ylabel("Σ|A|")
    low, high = ax.get_ylim()
    ticks = np.asarray(LogLocator(subs=_COARSE if high > _DECADE * low else _FINE).tick_values(low, high))
    ax.yaxis.set_major_locator(FixedLocator(ticks[(ticks >= low) & (ticks <= high)].tolist()))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    return ax
