"""Power against the number of training seeds, from the recorded effects and the recorded spread between seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from analysis.estimates.passk_curves import collect
from analysis.io.study import BASE, Study
from analysis.presentation.captions import describe_setting, summarize_setting
from analysis.presentation.style import PERCENT, colour, label, line_style, sort_arms
from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.evaluations import NO_SPREAD, SEEDS, Evaluations, common_seeds
from analysis.statistics.seeds import (
    MAX_SEEDS,
    POWER,
    Spread,
    power_by_seeds,
    recorded_spread,
    seed_scores,
    seeds_needed,
)

NAME = "seeds_needed"
QUESTION = "How many training seeds would show the effects that were seen?"
PAPER = ""
NEEDS = "two or more finished seeds of GRPO and of another arm: one seed shows no spread between seeds"

_REFERENCE = "grpo"
_SEEDS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)
_MOST_NAMED = 8


def table(study: Study) -> pd.DataFrame:
    """Return rows: arm, k, num_seeds (per arm), power (estimate; lo and hi at the ends of the spread's interval).

    Further columns: effect (Pass@k minus GRPO's), effect_lo, effect_hi; needed, needed_lo, needed_hi (seeds per arm for
    power 0.8). No rows unless GRPO and another arm have two finished seeds.
    """
    frames = []
    for benchmark in study.benchmarks:
        evaluations = collect(study, benchmark)
        if evaluations is not None:
            frames += list(_panels(evaluations))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _panels(evaluations: Evaluations) -> Iterator[pd.DataFrame]:
    eligible = [arm for arm, seeds in evaluations.seeds.items() if len(seeds) > 1 and arm not in evaluations.unfinished]
    if _REFERENCE not in eligible:
        return
    for k in sorted({1, evaluations.largest_k}):
        for arm in sort_arms([arm for arm in eligible if arm not in (_REFERENCE, BASE)]):
            yield from _rows(evaluations, arm, k)


def _rows(evaluations: Evaluations, arm: str, k: int) -> Iterator[pd.DataFrame]:
    contrast = {arm: {k: 1.0}, _REFERENCE: {k: -1.0}}
    effect = contrast_intervals(evaluations, [contrast], scope=SEEDS)[0]
    if effect.method == NO_SPREAD or np.isnan(effect.estimate):
        return
    spread, paired = _spread(evaluations, arm, k)
    needed = seeds_needed(effect.estimate, spread, seed=evaluations.seed)
    power, highest, lowest = (
        power_by_seeds(effect.estimate, [factor * one for one in spread.deviations], _SEEDS, seed=evaluations.seed)
        for factor in (1.0, spread.lo, spread.hi)
    )
    yield pd.DataFrame(
        {
            "panel": f"{evaluations.benchmark}: Pass@{k} against GRPO",
            "benchmark": evaluations.benchmark,
            "arm": arm,
            "reference": _REFERENCE,
            "k": k,
            "num_seeds": _SEEDS,
            "estimate": power,
            "lo": lowest,
            "hi": highest,
            "method": f"simulated {'paired t' if paired else 'Welch'} tests at 5 %",
            "speaks_of": SEEDS,
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
        }
    )


def _spread(evaluations: Evaluations, arm: str, k: int) -> tuple[Spread, bool]:
    """Return the spread between seeds of the tested difference, and True if seeds are paired."""
    seeds = common_seeds([evaluations], {arm: {}, _REFERENCE: {}})
    scores, numbers = zip(*(seed_scores([evaluations], one, k) for one in (arm, _REFERENCE)), strict=True)
    if seeds[arm] != seeds[_REFERENCE] or len(seeds[arm]) < 2:
        return recorded_spread(*(one[:, 0] for one in scores)), False
    ours, theirs = (one[[own.index(seed) for seed in seeds[arm]], 0] for one, own in zip(scores, numbers, strict=True))
    return recorded_spread(ours - theirs), True


def caption(table: pd.DataFrame) -> str:
    """Return the drawn quantity, then n, seeds and scope."""
    return (
        "Power to tell an arm from GRPO by number of seeds per arm, for the recorded effect and the recorded spread "
        f"between seeds; bands: the ends of the spread's 95 % interval. {summarize_setting(table)}"
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
    """Draw power curves with their bands, and a line at the target."""
    ax.axhline(table["target"].iloc[0], color="0.4", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    for arm, rows in table.groupby("arm", sort=False):
        ax.plot(rows["num_seeds"], rows["estimate"], label=label(arm), **line_style(str(arm)))
        ax.fill_between(rows["num_seeds"], rows["lo"], rows["hi"], color=colour(str(arm)), alpha=0.12, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator([2, 4, 8, 16, 32, 64]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.yaxis.set_major_formatter(PERCENT)
    ax.set_ylim(0.0, 1.02)
    ax.set_xlabel("Training seeds per arm")
    ax.set_ylabel("Power (%)")
    return ax
