"""Entropy (nats per token) against training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps
from analysis.io.study import Study

NAME = "entropy"
QUESTION = "Does the policy keep its entropy during training, or collapse?"
PAPER = "Figure 3"

DEFINITION = (
    "Token entropy of the sampling policy: mean over all sampled tokens of the batch, full softmax at the sampling "
    "temperature, in nats."
)


def table(study: Study) -> pd.DataFrame:
    return series_table(study, "entropy").assign(panel="")


def caption(table: pd.DataFrame) -> str:
    return f"{DEFINITION} {describe_steps(table)}"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_steps(table, ax)
    ax.set_ylabel("Entropy (nats per token)")
    return ax
