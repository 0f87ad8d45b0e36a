"""Pass@k of each candidate minus the reference's, one panel for each candidate."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from analysis.estimates.answers import candidates
from analysis.estimates.passk_curves import collect, gain_table
from analysis.io.study import Study
from analysis.presentation.captions import describe_missing, describe_setting, summarize_setting
from analysis.presentation.style import PERCENT, colour, label, marker, minus

NAME = "gain"
QUESTION = "At which k is a candidate better than the reference?"
PAPER = ""

_MARGIN = 2**0.5  # factor by which the k axis exceeds the points


def table(study: Study) -> pd.DataFrame:
    """Return the rows of gain_table for the candidates, in a panel for each; low and high: ends of their y axis."""
    frames = []
    for benchmark in study.benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is None or study.reference not in evaluations.correct:
            continue
        chosen = candidates(evaluations, study.comparison)
        rows = gain_table(evaluations, study.reference, chosen, bands=False)
        if rows.empty:
            continue
        rows = rows.dropna(subset="estimate")
        ends = rows[["estimate", "lo", "hi"]]
        low, high = float(ends.min().min()), float(ends.max().max())
        margin = 0.05 * (high - low) or 0.01
        place = f" on {benchmark}" if len(study.benchmarks) > 1 else ""
        names = [f"{minus(arm, study.reference)}{place}" for arm in rows["arm"]]
        frames.append(rows.assign(panel=names, low=min(low, 0.0) - margin, high=max(high, 0.0) + margin))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then n, seeds and scope."""
    against = label(table["reference"].iloc[0])
    return (
        f"Pass@k minus {against}'s on the same problems, with 95 % intervals: above 0 the candidate is better. "
        f"{summarize_setting(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the evaluation, missing intervals, and the k without variance within a problem."""
    above = "Hollow: k > n/2, where n samples give no within-problem variance." if _hollow(table).any() else ""
    return [describe_setting(table), *describe_missing(table), above]


def _hollow(table: pd.DataFrame) -> pd.Series:
    return table["no_within_variance"].astype(bool)


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one candidate's differences with thin intervals, and a line at zero."""
    arm = str(table["arm"].iloc[0])
    ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    ax.plot(table["k"], table["estimate"], color=colour(arm), linewidth=0.6, alpha=0.5)
    ax.vlines(table["k"], table["lo"], table["hi"], color=colour(arm), linewidth=1.1)
    for hollow, rows in table.groupby(_hollow(table)):
        face = "white" if hollow else colour(arm)
        ax.plot(rows["k"], rows["estimate"], marker(arm), color=colour(arm), markerfacecolor=face)
    ks = sorted(table["k"].unique())
    ax.set_xscale("log", base=2)
    ax.set_xlim(ks[0] / _MARGIN, ks[-1] * _MARGIN)
    ax.xaxis.set_major_locator(FixedLocator(ks[::2]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.set_ylim(table["low"].iloc[0], table["high"].iloc[0])
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("k (samples a problem)")
    ax.set_ylabel("Difference in Pass@k (pp)")
    return ax
