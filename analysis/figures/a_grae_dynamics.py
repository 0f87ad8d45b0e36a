"""Entropy in training and test, and greedy accuracy, of GRPO and A-GRAE against training step."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures import entropy, greedy
from analysis.figures._steps import describe_steps
from analysis.io.study import Study

NAME = "a_grae_dynamics"
QUESTION = "Does A-GRAE hold its entropy where GRPO's declines, and does accuracy follow?"
PAPER = "Figure 10"

_ARMS = ("grpo", "a_grae")
_TRAINING = "Training entropy"


def table(study: Study) -> pd.DataFrame:
    """Rows of the figures entropy and greedy, for the two arms; none unless both have runs."""
    runs = tuple(run for arm in _ARMS for run in study.arms.get(arm, ()))
    if {run.arm for run in runs} != set(_ARMS):
        return pd.DataFrame()
    pair = replace(study, runs=runs)
    test = greedy.table(pair)
    panels = [entropy.table(pair).assign(panel=_TRAINING)]
    panels += [test[test["panel"] == panel] for panel in (greedy.ENTROPY, greedy.ACCURACY)]
    return pd.concat(panels, ignore_index=True)


def caption(table: pd.DataFrame) -> str:
    return f"{entropy.DEFINITION} {greedy.DEFINITION} {describe_steps(table)}"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    return (entropy if table["panel"].iloc[0] == _TRAINING else greedy).draw(table, ax)
