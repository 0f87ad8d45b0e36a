"""Σ|A| of a group against its success rate: measured in the rollouts, and the closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.io.study import Study, has_binary_rewards
from analysis.io.training_records import read_groups_without_invalid
from analysis.presentation.captions import each
from analysis.presentation.style import colour, dash, label, line_style, sort_arms
from analysis.statistics import update_mass

NAME = "mass_vs_p"
QUESTION = "Which prompts move the policy: how large is Σ|A| of a group at each success rate p?"
PAPER = "Figure 6"

MARKED = (0.25, 0.5, 0.75)  # the success rates that the paper's Figure 6 marks

_GRID = np.sin(np.linspace(0.0, np.pi / 2, 201)[1:-1]) ** 2  # denser near 0 and 1, where the closed forms are steep
_P = np.union1d(_GRID, MARKED)


def table(study: Study) -> pd.DataFrame:
    """Return rows of kind "measured" (mean, minimum, maximum Σ|A| of the `groups` with that p) and "theory" (a line).

    omega: the median of the steps' mean accuracy; a line that depends on ω is drawn for that value.
    """
    frames = []
    for arm, runs in study.arms.items():
        groups = pd.concat([read_groups_without_invalid(run) for run in runs], ignore_index=True)
        if groups.empty:
            continue
        by_p = groups.groupby("p", as_index=False)["abs_sum"]
        measured = by_p.agg(value="mean", lo="min", hi="max", groups="count")
        frames.append(measured.assign(arm=arm, kind="measured"))
        omega = float(groups.groupby("step")["p"].mean().median())
        advantage, size = runs[0].config["advantage"], int(groups["size"].iloc[0])
        if has_binary_rewards(runs[0]):
            frames.append(closed_form(arm, advantage, group_size=size, omega=omega))
    if not frames:
        return pd.DataFrame()
    columns = ["panel", "arm", "kind", "p", "value", "lo", "hi", "groups", "omega"]
    return pd.concat(frames, ignore_index=True).assign(panel="").reindex(columns=columns)


def closed_form(arm: str, advantage: Mapping[str, Any], *, group_size: int, omega: float) -> pd.DataFrame:
    """Return an arm's rows of kind "theory", none without a closed form; `omega` is set only if the form uses it."""
    line = update_mass.mass(advantage, _P, group_size=group_size, omega=omega)
    if line is None:
        return pd.DataFrame()
    at = {"omega": omega} if update_mass.needs_omega(advantage) else {}
    return pd.DataFrame({"p": _P, "value": line}).assign(arm=arm, kind="theory", **at)


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantities, then the number of groups."""
    measured = table[table["kind"] == "measured"]
    counts = measured.groupby("arm", sort=False)["groups"].sum().astype(int)
    return (
        "Σ|A| of a group by its success rate p: mean over the recorded groups (markers), their range (bars) and the "
        f"closed form (lines). Groups: {each(counts)}; the range is no confidence interval."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the origin of markers and lines, and the arms without a closed form."""
    measured = table[table["kind"] == "measured"]
    omegas = table.dropna(subset="omega").groupby("arm", sort=False)["omega"].first()
    sentences = [
        "Markers: all groups with that p in the recorded rollouts of all runs. Bars: minimum to maximum.",
        f"Lines: closed forms for the runs' advantage settings; rings: p = {', '.join(map(str, MARKED))}.",
    ]
    if len(omegas):
        at = ", ".join(f"{label(arm)} {omega:.2f}" for arm, omega in omegas.items())
        sentences.append(f"A closed form that depends on the batch's mean accuracy ω is drawn for the median ω: {at}.")
    if no_line := sorted(set(measured["arm"]) - set(table.loc[table["kind"] == "theory", "arm"])):
        sentences.append(f"No closed form: {', '.join(map(label, no_line))}.")
    return sentences


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw markers, bars, lines and rings of each arm."""
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        line, points = rows[rows["kind"] == "theory"], rows[rows["kind"] == "measured"]
        ax.plot(line["p"], line["value"], color=colour(arm), linestyle=dash(arm), linewidth=0.9)
        rings = line[line["p"].isin(MARKED)]
        face: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": colour(arm), "markeredgewidth": 0.6}
        ax.plot(rings["p"], rings["value"], "o", markersize=7, **face)
        ax.vlines(points["p"], points["lo"], points["hi"], color=colour(arm), linewidth=0.8, alpha=0.6)
        ax.plot(points["p"], points["value"], label=label(arm), **(line_style(arm) | {"linestyle": "none"}))
    for p in MARKED:
        ax.axvline(p, color="0.75", linewidth=0.6, linestyle=":", zorder=1)
    ax.set_xlabel("Success rate p of the group")
    ax.set_ylabel("Σ|A| of the group")
    ax.set_xlim(-0.03, 1.03)
    return ax
