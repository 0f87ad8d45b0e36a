"""Which runs collapse: fully unsolved prompts and test accuracy of stable and collapsed runs."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from agrae_lab.runs import FINAL_STATUSES
from analysis.estimates.step_series import MEAN, series_table
from analysis.figures._steps import mark_collapses
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
    """Rows as in series_table, every run by itself, and for its arm: runs (ended ones), how many collapsed, and the
    share of them with its exact interval (share, share_lo, share_hi); collapsed_run tells a collapsed run's rows."""
    collapses = collapse_table(study)
    counts = collapse_counts(collapses)
    who = collapses.assign(seed=collapses["seed"].astype(str)).rename(columns={"collapsed": "collapsed_run"})
    frames = []
    for panel, column in _COLUMNS.items():
        runs = series_table(study, column)
        runs = runs[runs["seed"] != MEAN].drop(columns=["lo", "hi", "seeds", "method"])
        frames.append(runs.merge(who[["arm", "seed", "collapsed_run"]]).merge(counts).assign(panel=panel))
    return pd.concat(frames, ignore_index=True)


def collapse_counts(collapses: pd.DataFrame) -> pd.DataFrame:
    """Arm by arm, of its ended runs (done or diverged): runs, collapsed, share with Clopper and Pearson's interval."""
    rows = []
    for arm, runs in collapses.groupby("arm", sort=False):
        ended = runs[runs["status"].isin(FINAL_STATUSES)]
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
    return (
        "Prompts of a batch that no completion solves, and greedy accuracy at validation steps: every run by itself, "
        "as recorded; unfinished ones end in a cross. Thick: collapsed, ringed at that step. "
        f"{RULE} Diverged runs count as collapsed. Runs that collapsed, of those that ended, with exact "
        f"(Clopper–Pearson) 95 % intervals: {_counted(table)}."
    )


def _counted(table: pd.DataFrame) -> str:
    """`GRPO and A-GRAE 0 of 10 [0 %, 31 %]; Negative-Dominant 3 of 10 [7 %, 65 %]`."""
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
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        for (_, status, collapsed), run in rows.groupby(["seed", "status", "collapsed_run"]):
            states = ["collapsed"] * bool(collapsed) + [str(status)] * (status != "done")
            name = label(arm) + (f" ({', '.join(states)})" if states else "")
            weight: dict[str, Any] = {"linewidth": 1.6} if collapsed else {"linewidth": 0.6, "alpha": 0.8}
            end: dict[str, Any] = {"marker": ""} if status == "done" else {"marker": "x", "markevery": [-1]}
            ax.plot(run["step"], run["value"], label=name, **(line_style(arm) | end | weight))
    mark_collapses(table, ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Training step (generation batch)")
    if table["panel"].iloc[0] == _ACCURACY:
        ax.yaxis.set_major_formatter(PERCENT)
        ax.set_ylabel("Accuracy (%)")
    else:
        ax.set_ylabel("Fully unsolved prompts")
    return ax
