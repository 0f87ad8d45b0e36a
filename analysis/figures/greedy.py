"""Greedy accuracy and greedy entropy on the benchmark against training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures._steps import describe_steps, draw_steps
from analysis.frames import Study
from analysis.series import series_table
from analysis.style import PERCENT

NAME = "greedy"
QUESTION = "How do accuracy and entropy of greedy decoding on the benchmark move during training?"
PAPER = ""

ACCURACY, ENTROPY = "Greedy accuracy", "Test entropy"
DEFINITION = (
    "Greedy decoding on the first benchmark's problems at validation steps, each before that step's update, so that a "
    "value at step 1 is the base model's; test entropy: nats per token along the greedy completion."
)
_COLUMNS = {ACCURACY: "greedy_accuracy", ENTROPY: "greedy_entropy"}


def table(study: Study) -> pd.DataFrame:
    frames = [series_table(study, column).assign(panel=panel) for panel, column in _COLUMNS.items()]
    return pd.concat(frames, ignore_index=True)


def caption(table: pd.DataFrame) -> str:
    return f"{DEFINITION} {describe_steps(table)}"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_steps(table, ax, markers=True)
    if table["panel"].iloc[0] == ACCURACY:
        ax.yaxis.set_major_formatter(PERCENT)
        ax.set_ylabel("Accuracy (%)")
    else:
        ax.set_ylabel("Entropy (nats per token)")
    return ax
