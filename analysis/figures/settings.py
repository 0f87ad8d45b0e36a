"""Pass@k of each candidate minus the reference's under every setting of a study, such as a grid of learning rates."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.estimates.answers import answers
from analysis.io.study import Study
from analysis.presentation.style import PERCENT, colour, label, marker, minus
from analysis.statistics.intervals import FEW_SEEDS

NAME = "settings"
QUESTION = "Under which settings is a candidate better than the reference?"
PAPER = ""
COLUMNS = 2
EMPTY = "the study has one setting"

_APART = 0.22  # between the k of one setting, whose heights are 1 apart


def table(study: Study) -> pd.DataFrame:
    """Return a row for each candidate, benchmark, setting and k; height: y. No rows for a single setting."""
    found = answers(study)
    settings = list(dict.fromkeys(answer.setting for answer in found))
    rows = [
        {
            "panel": minus(answer.arm, answer.reference)
            + (f" on {answer.benchmark}" if len(study.benchmarks) > 1 else ""),
            "benchmark": answer.benchmark,
            "arm": answer.arm,
            "reference": answer.reference,
            "setting": answer.setting,
            "k": difference.k,
            "estimate": difference.interval.estimate,
            "lo": difference.interval.lo,
            "hi": difference.interval.hi,
            "seeds": difference.interval.num_seeds,
            "method": difference.interval.method,
            "scope": difference.interval.scope,
            "height": len(settings) - 1 - settings.index(answer.setting) - _APART * place,
        }
        for answer in found
        for place, difference in enumerate(answer.differences)
    ]
    return pd.DataFrame(rows if len(settings) > 1 else [])


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then the settings and seeds."""
    fewest, most = table["seeds"].min(), table["seeds"].max()
    seeds = str(fewest) if fewest == most else f"{fewest} to {most}"
    return (
        f"Pass@k minus {label(table['reference'].iloc[0])}'s under the same setting, with 95 % intervals, from top to "
        f"bottom k = {', '.join(map(str, sorted(table['k'].unique())))}. "
        f"Data: {table['setting'].nunique()} settings; seeds per arm and setting: {seeds}."
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the method of the intervals, and that they are pointwise."""
    bounded = table.dropna(subset="lo")[["method", "scope"]].drop_duplicates()
    return (
        *(f"Interval: {method}; scope: {scope}." for method, scope in bounded.to_numpy()),
        "No interval is corrected for the number of settings: confirm a chosen one on fresh seeds.",
        f"Fewer than {FEW_SEEDS} seeds: read intervals with care." if (table["seeds"] < FEW_SEEDS).any() else "",
    )


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a mark with its interval for each setting and k; filled for the smallest k."""
    hue, sign = colour(str(table["arm"].iloc[0])), marker(str(table["arm"].iloc[0]))
    ax.axvline(0.0, color="0.4", linewidth=0.8, zorder=1)
    ax.hlines(table["height"], table["lo"], table["hi"], color=hue, linewidth=1.1)
    for k, rows in table.groupby("k"):
        face = hue if k == table["k"].min() else "white"
        ax.plot(rows["estimate"], rows["height"], sign, color=hue, markerfacecolor=face)
    first = table[table["k"] == table["k"].min()]
    ax.set_yticks(first["height"], first["setting"])
    ax.set_ylim(table["height"].min() - 0.6, table["height"].max() + 0.6)
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(PERCENT)
    ax.set_xlabel("Difference in Pass@k (pp)")
    return ax
