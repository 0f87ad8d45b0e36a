"""Greedy accuracy and greedy entropy on the benchmark against training step."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
from matplotlib.axes import Axes

from agrae_lab.runs import Run
from analysis.estimates.step_series import series_table
from analysis.figures._steps import describe_steps, draw_steps
from analysis.io.study import Study
from analysis.presentation.style import PERCENT

NAME = "greedy"
QUESTION = "How do accuracy and entropy of greedy decoding on the benchmark move during training?"
PAPER = ""

ACCURACY, ENTROPY = "Greedy accuracy", "Test entropy"
DEFINITION = (
    "Greedy decoding on the benchmark of validation (train.validate_on), each time before that step's update: at step "
    "1 the base model, after the last step the final policy; test entropy: nats per token along the greedy completion."
)
_COLUMNS = {ACCURACY: "greedy_accuracy", ENTROPY: "greedy_entropy"}


def table(study: Study) -> pd.DataFrame:
    frames = []
    for panel, column in _COLUMNS.items():
        last = series_table(replace(study, runs=tuple(filter(_is_validated_last, study.runs))), f"final_{column}")
        if not last.empty:  # the policy after the last step is that before one more
            last = last.assign(step=last["step"] + 1)
        frames.append(pd.concat([series_table(study, column), last], ignore_index=True).assign(panel=panel))
    return pd.concat(frames, ignore_index=True)


def _is_validated_last(run: Run) -> bool:
    """Whether the policy after the last step was validated too."""
    return run.metrics_path.is_file() and "final_greedy_accuracy" in pq.read_schema(run.metrics_path).names


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
