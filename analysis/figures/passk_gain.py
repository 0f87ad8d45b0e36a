"""Pass@k of every arm minus that of the reference, and minus that of the base model, on the same problems."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.passk_curves import collect, gain_table
from analysis.figures._curves import describe_evaluation, draw_curves
from analysis.io.study import BASE, Study
from analysis.presentation.captions import summarize_setting
from analysis.presentation.style import label

NAME = "passk_gain"
QUESTION = "At which k does an arm beat the reference, and the base model, on the same problems?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    """Return the rows of gain_table, in a panel for each benchmark and reference."""
    frames = []
    for benchmark in study.benchmarks:
        if (evaluations := collect(study, benchmark)) is None:
            continue
        for reference in dict.fromkeys((BASE, study.reference)):
            gains = gain_table(evaluations, reference)
            if len(gains):
                panel = f"{benchmark}: minus {label(reference)}"
                frames.append(gains.dropna(subset="estimate").assign(panel=panel))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then n, seeds and scope."""
    return f"Differences in Pass@k, paired by problem, with 95 % intervals. {summarize_setting(table)}"


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the evaluation and the bands."""
    return describe_evaluation(table)


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the differences of one panel, and a line at zero."""
    ax.axhline(0.0, color="0.4", linewidth=0.8, zorder=1)
    draw_curves(table, ax)
    ax.set_ylabel("Difference in Pass@k (pp)")
    return ax
