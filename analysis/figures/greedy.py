"""Greedy accuracy and greedy entropy on the benchmark against training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
from matplotlib.axes import Axes

from agrae_lab.runs import Run
from analysis.estimates.step_series import series_table
from analysis.estimates.validation import with_binomial_intervals
from analysis.figures._steps import describe_steps, draw_validations, summarize_steps
from analysis.io.study import Study
from analysis.presentation.style import PERCENT

NAME = "greedy"
QUESTION = "How do accuracy and entropy of greedy decoding on the benchmark move during training?"
PAPER = ""

ACCURACY, ENTROPY = "Greedy accuracy", "Test entropy"
DEFINITION = (
    "Greedy decoding on the validation benchmark (train.validate_on) takes place before a step's update: step 1 shows "
    "the base model, and the point after the last step the final policy.",
    "Test entropy: nats per token along the greedy completion.",
)
_COLUMNS = {ACCURACY: "greedy_accuracy", ENTROPY: "greedy_entropy"}


def table(study: Study) -> pd.DataFrame:
    """Return the rows of series_table in a panel for each metric; the final policy has the last step plus one.

    Accuracies have the intervals of with_binomial_intervals.
    """
    frames = []
    for panel, column in _COLUMNS.items():
        last = series_table(replace(study, runs=tuple(filter(_is_validated_last, study.runs))), f"final_{column}")
        if not last.empty:  # validation comes before an update: the final policy would be validated one step later
            last = last.assign(step=last["step"] + 1, collapse=False)
        rows = pd.concat([series_table(study, column), last], ignore_index=True).assign(panel=panel)
        frames.append(with_binomial_intervals(rows, study) if panel == ACCURACY else rows)
    return pd.concat(frames, ignore_index=True)


def _is_validated_last(run: Run) -> bool:
    """Return True if the final policy was validated, too."""
    return run.metrics_path.is_file() and "final_greedy_accuracy" in pq.read_schema(run.metrics_path).names


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then lines, seeds and interval."""
    interval = " (95 % intervals over its problems)" if table["problems"].notna().any() else ""
    return (
        f"Accuracy{interval} and token entropy of greedy decoding on the validation benchmark. {summarize_steps(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the definitions and the intervals of accuracy, then smoothing, unfinished runs and collapses."""
    return [*DEFINITION, *describe_accuracy(table), *describe_steps(table)]


def describe_accuracy(table: pd.DataFrame) -> list[str]:
    """Return a sentence on the intervals of accuracy, or [] where the number of problems is not known."""
    known = table[table["problems"].notna()]
    if known.empty:
        return []
    numbers = " and ".join(map(str, sorted(known["problems"].unique())))
    ways = "; ".join(sorted(known["method"].unique()))
    return [f"Intervals of accuracy ({numbers} problems): {ways}."]


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the lines with a marker and an interval at each validation."""
    draw_validations(table, ax)
    if table["panel"].iloc[0] == ACCURACY:
        ax.yaxis.set_major_formatter(PERCENT)
        ax.set_ylabel("Accuracy (%)")
    else:
        ax.set_ylabel("Entropy (nats per token)")
    return ax
