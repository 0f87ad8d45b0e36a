"""Power against the number of training seeds, from the recorded effects and the recorded spread between seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from analysis.estimates.pairwise import seed_spread
from analysis.estimates.passk_curves import collect
from analysis.figures._curves import draw_arm
from analysis.figures._intervals import beside
from analysis.io.study import BASE, Study
from analysis.presentation.captions import describe_setting, summarize_setting
from analysis.presentation.style import PERCENT, label, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import NO_SPREAD, SEEDS, Evaluations
from analysis.statistics.seeds import (
    MAX_SEEDS,
    POWER,
    power_by_seeds,
    seeds_needed,
)

NAME = "seeds_needed"
QUESTION = "How many training seeds would show the effects that were seen?"
PAPER = ""
EMPTY = "two or more finished seeds of the reference and of another arm: one seed shows no spread between seeds"

_MARKED = (2, 4, 8, 16, 32, 64)  # numbers of seeds with marker and interval
_SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
_MOST_NAMED = 8


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, k, num_seeds (per arm), power (estimate; lo and hi at the ends of the spread's interval).

    Further columns: effect (Pass@k minus the reference's), effect_lo, effect_hi; needed, needed_lo, needed_hi (seeds
    per arm for power 0.8). No rows unless the reference and another arm have two finished seeds.
    """
    frames = []
    for benchmark in study.benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is not None:
            frames += list(_panels(evaluations, study.reference))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _panels(evaluations: Evaluations, reference: str) -> Iterator[pd.DataFrame]:
    eligible = [arm for arm, seeds in evaluations.seeds.items() if len(seeds) > 1 and arm not in evaluations.unfinished]
    if reference not in eligible:
        return
    for k in sorted({1, evaluations.largest_k}):
        for arm in sort_arms([arm for arm in eligible if arm not in (reference, BASE)]):
            yield from _rows(evaluations, arm, reference, k)


def _rows(evaluations: Evaluations, arm: str, reference: str, k: int) -> Iterator[pd.DataFrame]:
    contrast = {arm: {k: 1.0}, reference: {k: -1.0}}
    effect = contrast_intervals(evaluations, [contrast], scope=SEEDS)[0]
    if effect.method == NO_SPREAD or np.isnan(effect.estimate):
        return
    spread, paired = seed_spread(evaluations, arm, reference, k)
    needed = seeds_needed(effect.estimate, spread, seed=evaluations.seed)
    power, highest, lowest = (
        power_by_seeds(effect.estimate, [factor * one for one in spread.deviations], _SEEDS, seed=evaluations.seed)
        for factor in (1.0, spread.lo, spread.hi)
    )
    yield pd.DataFrame(
        {
            "panel": f"{evaluations.benchmark}: Pass@{k} against {label(reference)}",
            "benchmark": evaluations.benchmark,
            "arm": arm,
            "reference": reference,
            "k": k,
            "num_seeds": _SEEDS,
            "estimate": power,
            "lo": lowest,
            "hi": highest,
            "method": f"simulated {'paired t' if paired else 'Welch'} tests at 5 %",
            "scope": SEEDS,
            "effect": effect.estimate,
            "effect_lo": effect.lo,
            "effect_hi": effect.hi,
            "needed": needed.seeds,
            "needed_lo": needed.lo,
            "needed_hi": needed.hi,
            "target": POWER,
            "seeds": effect.num_seeds,
            "n": evaluations.num_samples,
            "problems": evaluations.num_problems,
            "temperature": evaluations.temperature,
            "top_p": evaluations.top_p,
            "no_within_variance": 2 * k > evaluations.num_samples,
            "unfinished": False,
            "marked": np.isin(_SEEDS, _MARKED),
        }
    )


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then n, seeds and scope."""
    return (
        f"Power to tell an arm from {label(table['reference'].iloc[0])} by number of seeds per arm, for the recorded "
        "effect and the recorded spread between seeds; intervals: the ends of the spread's 95 % interval. "
        f"{summarize_setting(table)}"
    )


def details(table: pd.DataFrame) -> Sequence[str]:
    """Return the tests, the seeds needed by each arm, and the setting."""
    arms = table.drop_duplicates(["panel", "arm"])
    tests = " and ".join(table["method"].unique())
    named = [
        f"{label(row['arm'])} at k = {row['k']} on {row['benchmark']} {_seeds(row['needed'])} "
        f"[{_seeds(row['needed_lo'])}, {_seeds(row['needed_hi'])}]"
        for _, row in arms.iterrows()
    ]
    listed = "; ".join(named) if len(named) <= _MOST_NAMED else f"see {NAME}.csv"
    return (
        f"Power: {tests}, as if the recorded effect and spread were the true ones.",
        f"Seeds per arm for power {100 * POWER:.0f} %: {listed}.",
        "An effect that was chosen for its size is likely to be smaller than recorded, and then needs more seeds.",
        describe_setting(table.assign(method="")),
    )


def _seeds(number: float) -> str:
    return f"{number:.0f}" if np.isfinite(number) else f"more than {MAX_SEEDS}"


def draw(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw power curves with their intervals, arms side by side, and a line at the target."""
    ax.axhline(table["target"].iloc[0], color="0.4", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    arms = sort_arms(list(table["arm"].unique()))
    for place, arm in enumerate(arms):
        draw_arm(table[table["arm"] == arm], "num_seeds", ax, transform=beside(ax, place, len(arms)))
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator(_MARKED))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_ylim(0.0, 1.02)
    ax.set_xlabel("Training seeds per arm")
    ax.set_ylabel("Power (%)")
    return ax
