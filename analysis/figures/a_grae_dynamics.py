"""Training entropy, test entropy and greedy accuracy of the reference and A-GRAE against training step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures import greedy
from analysis.figures._steps import describe_steps, summarize_steps
from analysis.figures.step_metrics import ENTROPY
from analysis.io.study import Study

NAME = "a_grae_dynamics"
QUESTION = "Does A-GRAE hold its entropy where the reference's declines, and does accuracy follow?"
PAPER = "Figure 10"

_ARM = "a_grae"
_TRAINING = "Training entropy"


def table(study: Study) -> pd.DataFrame:
    """Return the rows of the figures entropy and greedy for both arms; none unless both have runs."""
    arms = (study.reference, _ARM)
    runs = tuple(run for arm in arms for run in study.arms.get(arm, ()))
    if len(set(arms)) < 2 or {run.arm for run in runs} != set(arms):
        return pd.DataFrame()
    pair = replace(study, runs=runs)
    test = greedy.table(pair)
    panels = [ENTROPY.table(pair).assign(panel=_TRAINING)]
    panels += [test[test["panel"] == panel] for panel in (greedy.ENTROPY, greedy.ACCURACY)]
    return pd.concat(panels, ignore_index=True)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then lines, seeds and interval."""
    return f"Token entropy in training and in greedy decoding, and greedy accuracy. {summarize_steps(table)}"


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the definitions, then smoothing, unfinished runs and collapses."""
    return [*ENTROPY.definition, *greedy.DEFINITION, *greedy.describe_accuracy(table), *describe_steps(table)]


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw one panel as the figure it is taken from does."""
    return (ENTROPY if table["panel"].iloc[0] == _TRAINING else greedy).draw(table, ax)
