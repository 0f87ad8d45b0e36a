"""Pass@k against k for the base model and every arm."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.curves import collect, curve_table
from analysis.figures._curves import describe_evaluation, draw_curves
from analysis.frames import Study

NAME = "passk"
QUESTION = "How often does at least one of k samples solve a problem, before and after training?"


def table(study: Study) -> pd.DataFrame:
    frames = []
    for benchmark in study.benchmarks:
        if (evaluations := collect(study, benchmark)) is not None:
            curves = curve_table(evaluations).dropna(subset="estimate")
            frames.append(curves.assign(panel=benchmark))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def caption(table: pd.DataFrame) -> str:
    return (
        "Unbiased Pass@k, 1 − C(n−c, k)/C(n, k). Bands: 95 % intervals, pointwise; they overlap more than paired "
        f"differences do (see passk_gain). {describe_evaluation(table)}"
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_curves(table, ax)
    ax.set_ylabel("Pass@k (%)")
    return ax
