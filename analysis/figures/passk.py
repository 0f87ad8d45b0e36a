"""Pass@k against k for the base model and every arm."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis import published
from analysis.estimates.passk_curves import collect, curve_table
from analysis.figures._curves import describe_evaluation, draw_curves
from analysis.io.study import Study
from analysis.presentation.captions import PUBLISHED, RECORDED, stack, summarize_setting
from analysis.statistics.evaluations import Evaluations

NAME = "passk"
QUESTION = "How often does at least one of k samples solve a problem, before and after training?"
PAPER = "Figures 2, 4, 7 and 8"  # 2 and 4: the two control experiments; 7 and 8: the same for another model


def table(study: Study) -> pd.DataFrame:
    """Return the rows of curve_table (source "recorded"), then the requested published rows of the same arms."""
    frames = []
    for benchmark in study.benchmarks:
        if (evaluations := collect(study, benchmark)) is None:
            continue
        curves = curve_table(evaluations).dropna(subset="estimate")
        frames.append(curves.assign(panel=benchmark, source=RECORDED))
        frames.append(_published(study, evaluations).assign(panel=benchmark, source=PUBLISHED))
    return stack(frames)


def _published(study: Study, evaluations: Evaluations) -> pd.DataFrame:
    """Return published values of the study's arms; `benchmark` is the study's name for it, `on` the paper's."""
    rows = published.match(study.view.published, evaluations.benchmark)
    rows = rows[rows["arm"].isin(list(evaluations.correct))]
    columns = ["arm", "k", "estimate", "plus_minus", "model", "on"]
    return rows.rename(columns={"benchmark": "on"})[columns].assign(benchmark=evaluations.benchmark)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then n, seeds and scope."""
    return f"Pass@k with 95 % intervals. {summarize_setting(table[table['source'] == RECORDED])}"


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the estimator, then the evaluation and the bands."""
    return (
        "Estimator: 1 − C(n−c, k)/C(n, k), which is unbiased.",
        "Intervals of two arms may overlap though their paired difference excludes zero: see passk_gain.",
        *describe_evaluation(table),
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the curves of one benchmark."""
    draw_curves(table, ax)
    ax.set_ylabel("Pass@k (%)")
    return ax
