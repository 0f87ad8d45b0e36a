"""Cover@τ against τ: the share of problems that an arm solves in at least a share τ of its samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.passk_curves import bounded_share, collect, interval_columns, name_families
from analysis.figures._curves import WIDE, draw_arm, limit_to_intervals, without_wide_bands
from analysis.figures._intervals import beside
from analysis.io.study import BASE, Study
from analysis.presentation.captions import describe_setting, summarize_setting
from analysis.presentation.style import PERCENT, label, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.count_metrics import cover_at
from analysis.statistics.evaluations import WILSON, Evaluations

NAME = "cover"
QUESTION = "How many problems does an arm solve reliably, and how many only now and then?"
PAPER = ""

_STEPS = 32  # values of τ, or n if that is less
_MARKS = 8  # equal parts of the τ axis, at whose ends markers and intervals are drawn


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, tau (a share of the n samples; the first is one sample), estimate with interval and band.

    `marked` is true at the τ that are drawn with marker and interval; the curve has every τ.
    A panel for Cover@τ, with reference "", and one for its difference from the base model, paired by problem.
    """
    frames = []
    for benchmark in study.benchmarks:
        if (evaluations := collect(study, benchmark)) is None:
            continue
        frames.append(_rows(evaluations, "").assign(panel=benchmark))
        if BASE in evaluations.correct:
            frames.append(_rows(evaluations, BASE).assign(panel=f"{benchmark}: minus {label(BASE)}"))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _rows(evaluations: Evaluations, reference: str) -> pd.DataFrame:
    n = evaluations.num_samples
    steps = min(n, _STEPS)
    taus = sorted({1 / n, *(step / steps for step in range(1, steps + 1))})
    scores = dict(zip(taus, cover_at(np.arange(n + 1), n, taus).T, strict=True))
    keys = [(arm, tau) for arm in evaluations.correct if arm != reference for tau in taus]
    contrasts = [{arm: {tau: 1.0}, **({reference: {tau: -1.0}} if reference else {})} for arm, tau in keys]
    rows = []
    for (arm, tau), interval in zip(keys, contrast_intervals(evaluations, contrasts, scores), strict=True):
        bounded = interval if reference else bounded_share(interval, evaluations.num_problems)
        marked = tau == taus[0] or (tau * _MARKS).is_integer()
        row = {"tau": tau, "reference": reference, "marked": marked}
        rows.append({**interval_columns(evaluations, bounded, arm), **row})
    return name_families(pd.DataFrame(rows), "tau", "τ")


def caption(table: pd.DataFrame) -> str:
    """Return the definition of Cover@τ, then n, seeds and scope."""
    return (
        "Cover@τ, the share of problems solved in at least a share τ of the n samples, with 95 % intervals. "
        f"{summarize_setting(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return how to read the curve, then the bands, the setting and unfinished arms."""
    families = "; ".join(dict.fromkeys(table.dropna(subset="band_lo")["band"]))
    unfinished = ", ".join(map(label, table.loc[table["unfinished"], "arm"].unique()))
    wilson = (table["method"] == WILSON).any()
    return (
        "The leftmost point is one sample of n; its value is Pass@n.",
        "The share of correct samples estimates a problem's success rate. By chance a problem near τ falls on either "
        "side, more often at smaller n, so compare Cover@τ only at equal n.",
        f"Thick lines: pointwise in τ; thin lines: simultaneous, {families}; {WIDE}." if families else "",
        describe_setting(table[table["method"] != WILSON]),
        "Wilson's interval replaces the t interval where too few problems differ." if wilson else "",
        f"Dotted intervals: no finished run ({unfinished})." if unfinished else "",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a curve with intervals at some τ for each arm, arms side by side."""
    table = without_wide_bands(table)
    arms = sort_arms(list(table["arm"].unique()))
    difference = bool(table["reference"].iloc[0])
    if difference:
        ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    for place, arm in enumerate(arms):
        draw_arm(table[table["arm"] == arm], "tau", ax, transform=beside(ax, place, len(arms)))
    limit_to_intervals(table, ax)
    ax.xaxis.set_major_formatter(PERCENT)
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("τ (% of n samples)")
    ax.set_ylabel("Difference in Cover@τ (pp)" if difference else "Cover@τ (% of problems)")
    return ax
