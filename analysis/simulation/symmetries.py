"""The two symmetries of GRPO: logit updates within a prompt, and update mass between prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter

from analysis.figures import mass_vs_p
from analysis.io.simulation import Simulation
from analysis.presentation.style import colour, label, sort_arms

NAME = "symmetries"
QUESTION = "Which trajectories does an update reach, and which prompts weigh most?"
PAPER = "Figure 1"

_LOGITS, _MASS = "One step on one prompt", "Σ|A| of a group"
_BAR_WIDTH = 0.4
_LINE = (0.02, 0.98)  # range of p: outside, the forms fall to 0 and would fill most of a log scale
# (drawn, correct) → label of that part of the axis, in its order
_KINDS = {
    (True, True): "drawn,\ncorrect",
    (True, False): "drawn,\nwrong",
    (False, True): "not drawn,\ncorrect",
    (False, False): "not drawn,\nwrong",
}


def table(simulation: Simulation) -> pd.DataFrame:
    """Return the rows of two panels: `value` at `x` per trajectory and estimator; columns of mass_vs_p for Σ|A|."""
    return pd.concat([_logit_rows(simulation.logit_updates), _mass_rows(simulation)], ignore_index=True)


def _logit_rows(updates: pd.DataFrame) -> pd.DataFrame:
    """Return trajectories in the order of `_KINDS`, then by probability, with the bars of estimators side by side."""
    kinds = list(_KINDS)
    drawn_and_correct = zip(updates["num_draws"] > 0, updates["correct"], strict=True)
    rank = [kinds.index(kind) for kind in drawn_and_correct]
    rows = updates.assign(kind=[_KINDS[kinds[i]] for i in rank], rank=rank)
    rows = rows.sort_values(["estimator", "rank", "probability"], ascending=[True, True, False])
    position = rows.groupby("estimator").cumcount()
    arms = sort_arms(list(rows["estimator"].unique()))
    shift = rows["estimator"].map(lambda arm: arms.index(arm) - (len(arms) - 1) / 2)
    rows = rows.assign(position=position, x=position + _BAR_WIDTH * shift, panel=_LOGITS)
    rows["top"] = rows.groupby("trajectory")["update"].transform("max").clip(lower=0.0)
    return rows.drop(columns="rank").rename(columns={"estimator": "arm", "update": "value"})


def _mass_rows(simulation: Simulation) -> pd.DataFrame:
    names = {"estimator": "arm", "abs_sum": "value", "abs_sum_min": "lo", "abs_sum_max": "hi"}
    measured = simulation.update_mass.rename(columns=names).assign(kind="measured")
    first = simulation.simulation.groupby("estimator")["omega"].first()
    size = simulation.settings["num_generations"]
    lines = [
        mass_vs_p.closed_form(arm, advantage, group_size=size, omega=float(first[arm]))
        for arm, advantage in simulation.settings["estimators"].items()
    ]
    rows = pd.concat([measured, *lines], ignore_index=True).assign(panel=_MASS)
    return rows[(rows["kind"] == "measured") | rows["p"].between(*_LINE)]


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities of both panels."""
    return (
        "Left: Δh of every trajectory of a small behaviour space after one step (bars: automatic differentiation, "
        "dots: Theorem 1). Right: Σ|A| of a group, on a log scale (markers: mean over simulated groups, "
        "lines: closed forms)."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the behaviour space and how to read it, then the groups and marks of the right panel."""
    logits, mass = table[table["panel"] == _LOGITS], table[table["panel"] == _MASS]
    head = _head(logits)
    groups = mass[mass["kind"] == "measured"].groupby("arm")["groups"].sum().iloc[0]
    omegas = mass.dropna(subset="omega").groupby("arm", sort=False)["omega"].first()
    return (
        "The behaviour space is put together by hand; its step has learning rate 1.",
        "Under symmetric advantages (GRPO) a trajectory that was not drawn stays. With suppressed positives "
        "(Negative-Dominant, ΣA < 0) it rises, and so does an over-confident wrong one "
        f"(π = {head['probability']:g}) although it was drawn ({head['num_draws']:.0f} times).",
        f"Markers: {groups:.0f} groups of a simulation's first step, whose draws all estimators share.",
        *(f"{label(arm)} depends on the batch's mean accuracy, ω = {omega:.2f}." for arm, omega in omegas.items()),
        f"Rings: p = {', '.join(map(str, mass_vs_p.MARKED))}. Groups with Σ|A| = 0 are off the scale.",
    )


def _head(logits: pd.DataFrame) -> pd.Series:
    """Return the row of the likeliest trajectory."""
    return logits.sort_values("probability").iloc[-1]


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    if table["panel"].iloc[0] == _MASS:
        mass_vs_p.draw(table, ax)
        ax.set_yscale("log", base=2)
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        return ax
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        ax.bar(rows["x"], rows["value"], width=_BAR_WIDTH, color=colour(arm), label=label(arm))
    ax.plot(table["x"], table["update_closed_form"], ".", color="0.6", markersize=2.5)
    ax.axhline(0.0, color="0.4", linewidth=0.6)
    middles = table.groupby("kind", sort=False)["position"].mean()
    ax.set_xticks(middles, middles.index)
    ax.tick_params(axis="x", length=0)
    ax.grid(visible=False, axis="x")
    for start in table.groupby("kind", sort=False)["position"].min().iloc[1:]:
        ax.axvline(start - 0.5, color="0.85", linewidth=0.8)
    head = _head(table)
    text: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 6, "color": "0.25"}
    ax.annotate(f"π = {head['probability']:g}", (head["position"], head["top"]), (0, 4), **text)
    ax.set_ylabel("Δh (logit update)")
    return ax
