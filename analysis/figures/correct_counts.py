"""Correct completions in the batch against training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps
from analysis.io.study import Study

NAME = "correct_counts"
QUESTION = "How many completions of a training batch are correct as training goes on?"
PAPER = "Figure 5"


def table(study: Study) -> pd.DataFrame:
    return series_table(study, "correct_count").assign(panel="")


def caption(table: pd.DataFrame) -> str:
    return (
        "Completions of each generation batch that the verifier found correct; batches differ in their prompts. "
        f"{describe_steps(table)}"
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_steps(table, ax)
    ax.set_ylabel("Correct completions")
    return ax
