"""Pass@1, Pass@64, entropy and unsolved prompts of simulated policies against step."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.io.simulation import Simulation
from analysis.presentation.style import PERCENT, label, line_style, sort_arms

NAME = "simulation"
QUESTION = "How does each estimator change the same policy when prompts share nothing?"
PAPER = ""

_PANELS = {"pass_at_1": "Pass@1", "pass_at_64": "Pass@64", "entropy": "Entropy", "unsolved_share": "Unsolved prompts"}
_UNITS = {
    "Pass@1": "Pass@1 (%)",
    "Pass@64": "Pass@64 (%)",
    "Entropy": "Entropy (nats)",
    "Unsolved prompts": "Share (%)",
}


def table(simulation: Simulation) -> pd.DataFrame:
    """Return rows of panel, arm, step and value, with the settings for the caption."""
    recorded = simulation.simulation.rename(columns={"estimator": "arm", **_PANELS})
    names = ("seed", "num_prompts", "num_trajectories", "num_generations", "learning_rate")
    settings = {name: simulation.settings[name] for name in names}
    return recorded.melt(["arm", "step"], list(_PANELS.values()), "panel", "value").assign(**settings)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn policies, then what the estimators share."""
    first = table.iloc[0]
    return (
        f"{first['num_prompts']} independent prompts, each with a softmax policy over {first['num_trajectories']} "
        f"trajectories, moved by the gradient of Theorem 1. All estimators share start and random draws (seed "
        f"{first['seed']}); one seed, so no interval."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the settings, the definitions of the panels, and a caution."""
    first = table.iloc[0]
    return (
        f"{first['num_generations']} draws a step, learning rate {first['learning_rate']:g}.",
        "Pass@k is exact, of the policy before the step's update; entropy is that of the trajectories; unsolved: no "
        "draw of the step was correct.",
        "Estimators differ in update mass at one learning rate, so a faster curve is not a better one.",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        ax.plot(rows["step"], rows["value"], markevery=0.1, label=label(arm), **line_style(arm))
    panel = table["panel"].iloc[0]
    if panel != "Entropy":
        ax.yaxis.set_major_formatter(PERCENT)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set_xlabel("Step")
    ax.set_ylabel(_UNITS[panel])
    return ax
