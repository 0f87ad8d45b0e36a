"""Collapses: fully unsolved prompts and test accuracy of stable and collapsed runs against training step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agrae_lab.runs import FINAL_STATUSES
from analysis.estimates.step_series import MEAN, series_table
from analysis.figures._steps import STEP_AXIS, mark_collapses
from analysis.io.study import Study
from analysis.presentation.style import PERCENT, label, line_style, sort_arms
from analysis.statistics.collapse import RULE, collapse_table
from analysis.statistics.proportions import share_interval

NAME = "collapse"
QUESTION = "Which runs collapse, and when?"
PAPER = "Figure 9"

_ACCURACY = "Test accuracy"
_COLUMNS = {"Fully unsolved prompts": "fully_unsolved", _ACCURACY: "greedy_accuracy"}


def table(study: Study) -> pd.DataFrame:
    """Return the rows of series_table for single runs, with `collapsed_run`, and the columns of collapse_counts."""
    collapses = collapse_table(study)
    if collapses.empty:
        return pd.DataFrame()
    counts = collapse_counts(collapses)
    collapsed_runs = collapses.assign(seed=collapses["seed"].astype(str)).rename(columns={"collapsed": "collapsed_run"})
    frames = []
    for panel, column in _COLUMNS.items():
        runs = series_table(study, column)
        runs = runs[runs["seed"] != MEAN].drop(columns=["lo", "hi", "seeds", "method"])
        runs = runs.merge(collapsed_runs[["arm", "seed", "collapsed_run"]], on=["arm", "seed"])
        frames.append(runs.merge(counts, on="arm").assign(panel=panel))
    return pd.concat(frames, ignore_index=True)


def collapse_counts(collapses: pd.DataFrame) -> pd.DataFrame:
    """Return for each arm the number of its ended runs, the number of collapsed ones, and their share.

    Ended: done or diverged, and long enough for a collapse to be seen. Columns: arm, runs, collapsed, share, share_lo,
    share_hi; the interval is Clopper and Pearson's.
    """
    rows = []
    for arm, runs in collapses.groupby("arm", sort=False):
        ended = runs[runs["status"].isin(FINAL_STATUSES) & runs["observable"].astype(bool)]
        interval = share_interval(int(ended["collapsed"].sum()), len(ended))
        rows.append(
            {
                "arm": arm,
                "runs": len(ended),
                "collapsed": int(ended["collapsed"].sum()),
                "share": interval.estimate,
                "share_lo": interval.lo,
                "share_hi": interval.hi,
            }
        )
    return pd.DataFrame(rows, columns=["arm", "runs", "collapsed", "share", "share_lo", "share_hi"])


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then the share of collapsed runs with its interval."""
    return (
        "Fully unsolved prompts and greedy accuracy of every run; a thick line is a collapsed run, with a ring at the "
        f"step of its collapse. Collapsed runs among those that ended, with exact 95 % intervals: "
        f"{_collapsed_runs(table)}."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the definitions of the panels and of a collapse."""
    return (
        "Fully unsolved prompts: prompts of a batch without a correct completion.",
        "Greedy accuracy is recorded at validation steps; no smoothing.",
        "A cross ends the line of a run that diverged or is unfinished.",
        RULE,
        "Diverged runs count as collapsed.",
        "Intervals of shares: Clopper–Pearson.",
    )


def _collapsed_runs(table: pd.DataFrame) -> str:
    """Return text such as `GRPO, A-GRAE 0 of 10 [0 %, 31 %]; Negative-Dominant 3 of 10 [7 %, 65 %]`."""
    counts = table.drop_duplicates("arm")
    ended = counts[counts["runs"] > 0].set_index("arm")
    alike: dict[str, list[str]] = {}
    for arm in sort_arms([str(arm) for arm in ended.index]):
        row = ended.loc[arm]
        interval = f"[{100 * row['share_lo']:.0f} %, {100 * row['share_hi']:.0f} %]"
        alike.setdefault(f"{row['collapsed']} of {row['runs']} {interval}", []).append(label(arm))
    if len(alike) == 1 and len(ended) > 1:
        return f"each arm {next(iter(alike))}"
    return "; ".join(f"{', '.join(arms)} {count}" for count, arms in alike.items()) or "none has ended"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw every run, collapsed ones thick."""
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        for (_, status, collapsed), run in rows.groupby(["seed", "status", "collapsed_run"]):
            states = ["collapsed"] * bool(collapsed) + [str(status)] * (status != "done")
            name = label(arm) + (f" ({', '.join(states)})" if states else "")
            weight: dict[str, Any] = {"linewidth": 1.6} if collapsed else {"linewidth": 0.6, "alpha": 0.8}
            end: dict[str, Any] = {"marker": ""} if status == "done" else {"marker": "x", "markevery": [-1]}
            ax.plot(run["step"], run["value"], label=name, **(line_style(arm) | end | weight))
    mark_collapses(table, ax)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.set_xlabel(STEP_AXIS)
    if table["panel"].iloc[0] == _ACCURACY:
        ax.yaxis.set_major_formatter(PERCENT)
        ax.set_ylabel("Accuracy (%)")
    else:
        ax.set_ylabel("Fully unsolved prompts")
    return ax
