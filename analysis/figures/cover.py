"""Cover@τ: the share of problems that an arm solves in at least a share τ of its samples, for all τ at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.passk_curves import bounded_share, collect, interval_columns, name_families
from analysis.figures._curves import limit_to_intervals
from analysis.io.study import BASE, Study
from analysis.presentation.captions import describe_setting
from analysis.presentation.style import PERCENT, colour, label, line_style, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.count_metrics import cover_at
from analysis.statistics.evaluations import WILSON, Evaluations

NAME = "cover"
QUESTION = "How many problems does an arm solve reliably, and how many only now and then?"
PAPER = ""

_STEPS = 32  # of τ, or n where that is less
_FEW = 4  # more arms share the bands' opacity


def table(study: Study) -> pd.DataFrame:
    """Rows: arm, tau (a share of the n samples; the first is one sample), estimate with interval and band.

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
        rows.append({**interval_columns(evaluations, bounded, arm), "tau": tau, "reference": reference})
    return name_families(pd.DataFrame(rows), "tau", "τ")


def caption(table: pd.DataFrame) -> str:
    families = "; ".join(dict.fromkeys(table.dropna(subset="band_lo")["band"]))
    bands = f"Dark bands: pointwise in τ; light bands: simultaneous, {families}." if families else ""
    wilson = "Wilson's interval where too few problems differ for a t." if (table["method"] == WILSON).any() else ""
    unfinished = ", ".join(map(label, table.loc[table["unfinished"], "arm"].unique()))
    return (
        "Cover@τ: share of problems solved in at least a share τ of the n samples, with 95 % intervals; the leftmost "
        "point is one sample of n, which is Pass@n. The share of n samples stands for a problem's true rate: problems "
        "near τ fall on either side by chance, the more the smaller n is, so compare only at equal n. "
        f"{bands} {describe_setting(table[table['method'] != WILSON])} {wilson}"
        f"{f' Hatched: no finished run ({unfinished}).' if unfinished else ''}"
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    arms = sort_arms(list(table["arm"].unique()))
    opacity = min(1.0, _FEW / len(arms))
    difference = bool(table["reference"].iloc[0])
    if difference:
        ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    for arm in arms:
        rows = table[table["arm"] == arm]
        unfinished = bool(rows["unfinished"].any())
        name = label(arm) + (" (unfinished)" if unfinished else "")
        ax.plot(rows["tau"], rows["estimate"], label=name, **{**line_style(arm), "marker": ""})
        face: dict[str, Any] = {"color": colour(arm), "linewidth": 0}
        ax.fill_between(rows["tau"], rows["band_lo"], rows["band_hi"], alpha=0.07 * opacity, **face)
        hatch = "/////" if unfinished else None
        ax.fill_between(rows["tau"], rows["lo"], rows["hi"], alpha=0.16 * opacity, hatch=hatch, **face)
    limit_to_intervals(table, ax)
    ax.xaxis.set_major_formatter(PERCENT)
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("τ (% of n samples)")
    ax.set_ylabel("Difference in Cover@τ (pp)" if difference else "Cover@τ (% of problems)")
    return ax
