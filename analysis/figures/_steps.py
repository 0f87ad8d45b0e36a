"""What the per-step figures share: drawing lines over the steps, and saying what their lines, bands and marks are."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.estimates.step_series import MEAN
from analysis.presentation.captions import each
from analysis.presentation.style import colour, dash, label, line_style, sort_arms
from analysis.statistics.collapse import RULE
from analysis.statistics.intervals import FEW_SEEDS

_RAW: dict[str, Any] = {"linewidth": 0.4, "alpha": 0.55}  # the recorded line where another lies over it
_FEW = 4  # with more arms lines are thinner, and bands share their opacity


def draw_steps(table: pd.DataFrame, ax: Axes, *, markers: bool = False) -> None:
    """One line per run; with several finished seeds their mean with its band, and the single seeds thin."""
    arms = sort_arms(list(table["arm"].unique()))
    style: dict[str, Any] = ({} if markers else {"marker": ""}) | ({"linewidth": 0.8} if len(arms) > _FEW else {})
    for arm in arms:
        rows = table[table["arm"] == arm]
        mean, single = rows[rows["seed"] == MEAN], rows[rows["seed"] != MEAN]
        if len(mean):
            opacity = 0.16 * min(1.0, _FEW / len(arms))
            ax.fill_between(mean["step"], mean["lo"], mean["hi"], color=colour(arm), alpha=opacity, linewidth=0)
            _draw_line(mean, ax, arm, **style)
        for (_, status), run in single.groupby(["seed", "status"]):
            if status != "done":
                _draw_unfinished(run, ax, arm, str(status))
            elif len(mean):
                ax.plot(run["step"], run["value"], color=colour(arm), linestyle=dash(arm), **_RAW)
            else:
                _draw_line(run, ax, arm, **style)
    mark_collapses(table, ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("Training step (generation batch)")


def _draw_line(line: pd.DataFrame, ax: Axes, arm: str, **changes: Any) -> None:
    """The recorded line; where a moving mean was asked for, that, over the recorded line drawn thinner."""
    style = line_style(arm) | changes
    smooth = line.dropna(subset="smooth")
    if smooth.empty:
        ax.plot(line["step"], line["value"], label=label(arm), **style)
        return
    ax.plot(line["step"], line["value"], **(style | {"linestyle": "-"} | _RAW))
    ax.plot(smooth["step"], smooth["smooth"], label=label(arm), **(style | {"marker": ""}))


def _draw_unfinished(run: pd.DataFrame, ax: Axes, arm: str, status: str) -> None:
    """Thin, ending in a cross."""
    broken_off = {"linewidth": 0.7, "marker": "x", "markevery": [-1]}
    style = line_style(arm) | broken_off
    ax.plot(run["step"], run["value"], label=f"{label(arm)} ({status})", **style)


def mark_collapses(table: pd.DataFrame, ax: Axes) -> None:
    """A ring at the step of every collapse."""
    marks = table[table["collapse"]]
    if len(marks):
        ring: dict[str, Any] = {"markerfacecolor": "none", "markersize": 8, "markeredgewidth": 1.1, "color": "0.1"}
        ax.plot(marks["step"], marks["value"], "o", linestyle="none", label="collapse", zorder=5, **ring)


def describe_steps(table: pd.DataFrame) -> str:
    """Smoothing, seeds, what the band is, and the rule of a collapse where one is marked, read from the columns."""
    mean = table[table["seed"] == MEAN]
    single = sorted({label(arm) for arm in set(table["arm"]) - set(mean["arm"])})
    sentences = [_describe_smoothing(table)]
    if len(mean):
        counts = mean.groupby("arm", sort=False)["seeds"].first()
        sentences.append(f"Thick: mean over seeds ({each(counts)}) with the 95 % t interval of each step; thin: seeds.")
        if counts.min() < FEW_SEEDS:
            sentences.append(f"Fewer than {FEW_SEEDS} seeds: read these intervals with care.")
    if single and len(mean):
        sentences.append(f"Fewer than two finished seeds, so no band: {', '.join(single)}.")
    elif single:
        sentences.append("Fewer than two finished seeds an arm, so no bands.")
    if (table["status"] != "done").any():
        sentences.append(
            "Thin, ending in a cross: unfinished runs; they enter no mean, which is then conditional on finishing."
        )
    if table["collapse"].any():
        sentences.append(f"Ringed: a run's collapse, or the last step of a diverged one. {RULE}")
    return " ".join(sentences)


def _describe_smoothing(table: pd.DataFrame) -> str:
    if table["window"].isna().all():
        return "Recorded values, no smoothing."
    window = f"a centred moving mean over {table['window'].iloc[0]} steps"
    if table["smooth"].isna().all():
        return f"Recorded values: {window} was asked for, but the runs are shorter."
    return f"Lines: {window}, as asked for; beneath, thinner, the recorded values, to which bands and rings belong."
