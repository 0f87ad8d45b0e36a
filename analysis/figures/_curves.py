"""What the Pass@k figures share: drawing curves over k, and saying what their intervals are."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from analysis.stats import FEW_SEEDS
from analysis.style import PERCENT, colour, label, marker, sort_arms


def draw_curves(table: pd.DataFrame, ax: Axes) -> None:
    """Estimate with band for each arm over a log2 k axis; hollow markers where k > n/2, dashes where unfinished."""
    for arm in sort_arms(list(table["arm"].unique())):
        rows = table[table["arm"] == arm]
        if "seed" in rows:
            for _, single in rows[rows["method"] == ""].groupby("seed"):
                ax.plot(single["k"], single["estimate"], color=colour(arm), linewidth=0.4, alpha=0.5)
            rows = rows[rows["method"] != ""]
        unfinished = bool(rows["unfinished"].any())
        line: dict[str, Any] = {"color": colour(arm), "linestyle": "--" if unfinished else "-"}
        name = label(arm) + (" (unfinished)" if unfinished else "")
        ax.plot(rows["k"], rows["estimate"], label=name, marker=marker(arm), **line)
        hollow = rows[rows["no_within_variance"]]
        face: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": colour(arm)}
        ax.plot(hollow["k"], hollow["estimate"], linestyle="none", marker=marker(arm), **face)
        hatch = "////" if unfinished else None
        ax.fill_between(rows["k"], rows["lo"], rows["hi"], color=colour(arm), alpha=0.13, linewidth=0, hatch=hatch)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(sorted(table["k"].unique())))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("k (samples a problem)")


def describe_evaluation(table: pd.DataFrame) -> str:
    """n, problems, sampling, seeds and the interval's method and target, read from the table's columns."""
    sentences = []
    for benchmark, rows in table.groupby("benchmark", sort=False):
        first = rows.iloc[0]
        sentences.append(
            f"{benchmark}: {first['problems']} problems, n = {first['n']} samples each, "
            f"T = {first['temperature']:g}, top_p = {first['top_p']:g}."
        )
    seeds = table[table["seeds"] > 0].groupby("arm", sort=False)["seeds"].first()
    sentences.append("Seeds: " + ", ".join(f"{label(arm)} {count}" for arm, count in seeds.items()) + ".")
    intervals = table[table["method"] != ""]
    bounded = intervals.dropna(subset="lo")
    for (method, target), rows in bounded.groupby(["method", "speaks_of"], sort=False):
        whose = ", ".join(map(label, rows["arm"].unique()))
        sentences.append(f"Interval: {method} ({whose}); it speaks of {target}.")
    if (seeds == 1).any():
        sentences.append("One seed does not speak of the method: for that, run more.")
    if len(bounded) < len(intervals):
        sentences.append("No band where all seeds, or all problems, are alike.")
    if len(intervals) < len(table):
        sentences.append("Thin lines: single seeds.")
    if len(several := seeds[seeds > 1]) and several.min() < FEW_SEEDS:
        sentences.append(f"Fewer than {FEW_SEEDS} seeds: read intervals over seeds with care.")
    if table["no_within_variance"].any():
        sentences.append("Hollow markers: k > n/2, where n samples give no within-problem variance.")
    if table["unfinished"].any():
        sentences.append("Dashed: no finished run.")
    return " ".join(sentences)
