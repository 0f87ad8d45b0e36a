"""Interval strips over training seeds: the interquartile mean of Pass@k, and the probability of improvement."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.aggregates import ABOVE, MIDDLE, TOO_FEW, aggregate_table
from analysis.io.study import Study
from analysis.presentation.captions import each
from analysis.presentation.style import PERCENT, colour, label
from analysis.statistics.intervals import FEW_SEEDS

NAME = "seed_intervals"
QUESTION = "Which arm is better over all benchmarks, and would new seeds agree?"
PAPER = ""

_THICK = 0.5  # height of a strip; arms stand 1 apart


def table(study: Study) -> pd.DataFrame:
    """Return the rows of aggregate_table that have an estimate, in a panel for each quantity and k; height: y."""
    rows = aggregate_table(study)
    if rows.empty:
        return rows
    arms = list(rows["arm"].unique())
    against = label(study.reference)
    names = {MIDDLE: "Pass@{k}, interquartile mean", ABOVE: f"Pass@{{k}}, probability above {against}"}
    panels = [names[quantity].format(k=k) for quantity, k in zip(rows["quantity"], rows["k"], strict=True)]
    rows = rows.assign(panel=panels, height=[len(arms) - 1 - arms.index(arm) for arm in rows["arm"]])
    return rows.dropna(subset="estimate").reset_index(drop=True)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then benchmarks and seeds."""
    seeds = table.drop_duplicates("arm").set_index("arm")["seeds"]
    return (
        "Pass@k over all benchmarks with 95 % intervals over training seeds: interquartile mean, and probability that "
        f"a run scores above one of the reference. Data: {table['benchmarks'].iloc[0]}; seeds: {each(seeds)}."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the definitions, the method of the intervals, and what is missing."""
    bounded = table.dropna(subset="lo")[["method", "scope"]].drop_duplicates()
    return (
        "Interquartile mean: mean of the middle half of all seed × benchmark values (Agarwal et al. 2021, arXiv "
        "2108.13264).",
        "Probability above the reference: over pairs of runs, a tie counts half, mean over benchmarks; dashed: no "
        "difference (50 %).",
        *(f"Interval: {method}; scope: {scope}." for method, scope in bounded.to_numpy()),
        f"Fewer than {FEW_SEEDS} seeds: read intervals with care." if (table["caution"] != "").any() else "",
        "A mark without a strip: all seeds are equal, or all runs of one side are above all of the other."
        if table["lo"].isna().any()
        else "",
        f"Not drawn: the base model, which has no seeds, and arms with {TOO_FEW}.",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a strip from lo to hi and a mark at the estimate for each arm."""
    ax.use_sticky_edges = False  # a strip does not end at the axis
    is_probability = table["quantity"].iloc[0] == ABOVE
    if is_probability:
        ax.axvline(0.5, color="0.4", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
        ax.set_xlim(-0.02, 1.02)
    strips, hues = table.dropna(subset="lo"), [colour(str(arm)) for arm in table["arm"]]
    ax.barh(
        strips["height"],
        strips["hi"] - strips["lo"],
        _THICK,
        left=strips["lo"],
        color=[colour(str(arm)) for arm in strips["arm"]],
        alpha=0.45,
        linewidth=0,
    )
    half = _THICK / 2
    ax.vlines(table["estimate"], table["height"] - half, table["height"] + half, color=hues, linewidth=1.8)
    ax.set_yticks(table["height"], [label(arm) for arm in table["arm"]])
    ax.set_ylim(table["height"].min() - 0.6, table["height"].max() + 0.6)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("Probability (%)" if is_probability else "Interquartile mean (%)")
    return ax
