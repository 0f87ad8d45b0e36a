"""Pass@k against k for the base model and every arm."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis import published
from analysis.estimates.passk_curves import collect, curve_table
from analysis.figures._curves import describe_evaluation, draw_curves
from analysis.io.study import Study
from analysis.presentation.captions import PUBLISHED, RECORDED, stack
from analysis.statistics.evaluations import Evaluations

NAME = "passk"
QUESTION = "How often does at least one of k samples solve a problem, before and after training?"
PAPER = "Figures 2, 4, 7 and 8"  # 2 and 4: the two control experiments; 7 and 8: the same for another model


def table(study: Study) -> pd.DataFrame:
    """The rows of curve_table with source "recorded"; below them, if asked for, the paper's of the same arms."""
    frames = []
    for benchmark in study.benchmarks:
        if (evaluations := collect(study, benchmark)) is None:
            continue
        curves = curve_table(evaluations).dropna(subset="estimate")
        frames.append(curves.assign(panel=benchmark, source=RECORDED))
        frames.append(_published(study, evaluations).assign(panel=benchmark, source=PUBLISHED))
    return stack(frames)


def _published(study: Study, evaluations: Evaluations) -> pd.DataFrame:
    """Published numbers of the arms that we have; `benchmark` is ours, `on` the paper's."""
    rows = published.match(study.view.published, evaluations.benchmark)
    rows = rows[rows["arm"].isin(list(evaluations.correct))]
    columns = ["arm", "k", "estimate", "plus_minus", "model", "on"]
    return rows.rename(columns={"benchmark": "on"})[columns].assign(benchmark=evaluations.benchmark)


def caption(table: pd.DataFrame) -> str:
    return (
        "Unbiased Pass@k, 1 − C(n−c, k)/C(n, k), with 95 % intervals; they overlap more than paired differences do "
        f"(see passk_gain). {describe_evaluation(table)}"
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_curves(table, ax)
    ax.set_ylabel("Pass@k (%)")
    return ax
