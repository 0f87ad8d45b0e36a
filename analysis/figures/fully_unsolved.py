"""Fully unsolved prompts against training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps
from analysis.io.study import Study

NAME = "fully_unsolved"
QUESTION = "How many prompts of a training batch does no completion solve?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    return series_table(study, "fully_unsolved").assign(panel="")


def caption(table: pd.DataFrame) -> str:
    collapses = "" if table["collapse"].any() else "No run collapsed, as the figure collapse defines it. "
    return f"Prompts of each generation batch of which no completion was correct. {collapses}{describe_steps(table)}"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_steps(table, ax)
    ax.set_ylabel("Fully unsolved prompts")
    return ax
