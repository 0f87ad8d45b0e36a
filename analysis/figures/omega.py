"""ω, the mean accuracy of the batch, against training step."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps
from analysis.io.study import Study

NAME = "omega"
QUESTION = "How does ω, the training state that A-GRAE steers by, move during training?"
PAPER = ""


def table(study: Study) -> pd.DataFrame:
    return series_table(study, "omega").assign(panel="")


def caption(table: pd.DataFrame) -> str:
    return (
        "ω: mean accuracy of the batch's completions that the verifier could decide, their mean reward where that is 0 "
        "or 1 (paper Eq. 11); here also of arms "
        f"that do not use it; batches differ in their prompts. {describe_steps(table)}"
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    draw_steps(table, ax)
    ax.set_ylabel("ω (mean accuracy)")
    return ax
