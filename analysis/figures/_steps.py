"""What the per-step figures share."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.stats import FEW_SEEDS
from analysis.style import colour, label, marker, sort_arms


def draw_steps(table: pd.DataFrame, ax: Axes, *, markers: bool = False) -> None:
    """One line per run; with several finished seeds their mean with its band, and the single seeds thin."""
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        mean = rows[rows["seed"] == "mean"]
        style: dict[str, Any] = {"color": colour(arm)} | ({"marker": marker(arm)} if markers else {})
        name = label(arm)
        if len(mean):
            ax.fill_between(mean["step"], mean["lo"], mean["hi"], color=colour(arm), alpha=0.13, linewidth=0)
            ax.plot(mean["step"], mean["value"], label=name, **style)
        for (_, status), run in rows[rows["seed"] != "mean"].groupby(["seed", "status"]):
            if status != "done":
                broken_off = {"linestyle": ":" if status == "diverged" else "--", "marker": "x", "markevery": [-1]}
                ax.plot(run["step"], run["value"], label=f"{name} ({status})", **(style | broken_off))
            elif len(mean):
                ax.plot(run["step"], run["value"], color=colour(arm), linewidth=0.4, alpha=0.4)
            else:
                ax.plot(run["step"], run["value"], label=name, **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Training step (generation batch)")


def describe_seeds(table: pd.DataFrame) -> str:
    """Seeds and what the band is, read from the table's columns."""
    mean = table[table["seed"] == "mean"]
    single = sorted({label(arm) for arm in set(table["arm"]) - set(mean["arm"])})
    sentences = ["Recorded values, no smoothing."]
    if len(mean):
        counts = mean.groupby("arm", sort=False)["seeds"].first()
        seeds = ", ".join(f"{label(arm)} {count}" for arm, count in counts.items())
        sentences.append(f"Thick: mean over seeds ({seeds}) with the 95 % t interval of each step; thin: seeds.")
        if counts.min() < FEW_SEEDS:
            sentences.append(f"Fewer than {FEW_SEEDS} seeds: read these intervals with care.")
    if single:
        sentences.append(f"Fewer than two finished seeds, so no band: {', '.join(single)}.")
    if (table["status"] != "done").any():
        sentences.append(
            "Dashed (diverged: dotted), ending in a cross: unfinished runs; they enter no mean, which is then "
            "conditional on finishing."
        )
    return " ".join(sentences)
