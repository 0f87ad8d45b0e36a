"""One arm against another: the claim decides the interval, and data that cannot speak of it are refused.

    level       speaks of                                    interval
    "samples"   these checkpoints on exactly these problems  normal; U-statistic variance within problems; k ≤ n/2
    "problems"  these checkpoints on problems like these     bootstrap over problems, the draw shared by both arms
    "seeds"     the method                                   t over seeds: paired where both arms have the same seed
                                                             numbers, else Welch's

Figures, tables and verdicts use the widest claim that their data allow (contrasts.py), and over seeds Welch's t
throughout: contrasts of more than two arms, or with the base model, have no pairs. With shared seeds Welch's interval
is on the safe side, and with few seeds often the narrower one, having twice the degrees of freedom.
Shapes: S seeds, P problems.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from .contrasts import (
    METHOD,
    NO_SPREAD,
    NO_VARIATION,
    Contrast,
    Evaluations,
    checkpoint_intervals,
    chosen_seeds,
    contrast_intervals,
    method_intervals,
    score_by_problem,
)
from .frames import BASE, FrameError
from .multiplicity import benjamini_hochberg, holm
from .passk import KS, within_problem_covariance
from .stats import LEVEL, Interval, t_interval, t_p_value

Level = Literal["samples", "problems", "seeds"]

THESE_PROBLEMS = "these checkpoints on exactly these problems"
OVER_SAMPLES = "within-problem variance of the samples"
PAIRED_SEEDS = "paired t over seeds"


def compare(evaluations: Evaluations, arm: str, reference: str, k: int, *, level: Level) -> Interval:
    """Pass@k of an arm minus the reference's, with the interval and p-value of the claim that `level` names.

    At levels "samples" and "problems" an arm is the mean of its checkpoints of the seeds that both arms have (of all
    its seeds where they share none). Bounds are NaN, and `method` says so, where nothing varies. `caution` of the
    result is not empty with fewer than five seeds.

    Raises:
        ValueError: no such arm or level, or the arm is its own reference.
        FrameError: the data cannot speak of the claim: k > n; at "samples" k > n/2; at "seeds" an arm with one seed.
    """
    _check(evaluations, arm, reference, k, level)
    contrast = {arm: {k: 1.0}, reference: {k: -1.0}}
    if level == "samples":
        return _over_samples(evaluations, contrast)
    if level == "problems":
        return checkpoint_intervals(evaluations, [contrast])[0]
    seeds = [evaluations.seeds.get(name, ()) for name in (arm, reference)]
    paired = BASE not in contrast and set(seeds[0]) == set(seeds[1])
    return _over_paired_seeds(evaluations, contrast) if paired else method_intervals(evaluations, [contrast])[0]


def compare_family(
    evaluations: Evaluations, arms: Sequence[str], reference: str, ks: Sequence[int], *, level: Level
) -> pd.DataFrame:
    """A family of comparisons that was declared before the data were seen: each arm with the reference at each k.

    Columns: benchmark, arm, reference, k, estimate, lo, hi (pointwise), p_value, p_holm, method, speaks_of, seeds,
    caution, family.

    Raises:
        ValueError, FrameError: as `compare`, for any of them.
    """
    rows = []
    for arm, k in itertools.product(arms, ks):
        interval = compare(evaluations, arm, reference, k, level=level)
        rows.append(_row(evaluations, interval, arm, reference, k) | {"caution": interval.caution})
    table = pd.DataFrame(rows)
    family = f"Holm over {len(arms)} arms × {len(ks)} k against {reference}, level {level}"
    return table.assign(p_holm=holm(table["p_value"].to_numpy()), family=family)


def pairwise_differences(evaluations: Evaluations, ks: Sequence[int] = KS) -> pd.DataFrame:
    """Every arm minus every arm before it at every k ≤ n, from one bootstrap draw (or the seeds): for exploration.

    Columns: benchmark, arm, reference, k, estimate, lo, hi, band_lo, band_hi, band, p_value, p_bh (Benjamini and
    Hochberg over all rows), method, speaks_of, seeds.
    """
    ks = [k for k in ks if k <= evaluations.num_samples]
    pairs = [(arm, one, k) for one, arm in itertools.combinations(evaluations.correct, 2) for k in ks]
    contrasts: list[Contrast] = [{arm: {k: 1.0}, reference: {k: -1.0}} for arm, reference, k in pairs]
    intervals = contrast_intervals(evaluations, contrasts)
    rows = [
        _row(evaluations, one, *pair) | {"band_lo": one.band_lo, "band_hi": one.band_hi, "band": one.band}
        for pair, one in zip(pairs, intervals, strict=True)
    ]
    table = pd.DataFrame(rows)
    return table.assign(p_bh=benjamini_hochberg(table["p_value"].to_numpy())) if rows else table


def _row(evaluations: Evaluations, interval: Interval, arm: str, reference: str, k: int) -> dict[str, object]:
    return {
        "benchmark": evaluations.benchmark,
        "arm": arm,
        "reference": reference,
        "k": k,
        "estimate": interval.estimate,
        "lo": interval.lo,
        "hi": interval.hi,
        "p_value": interval.p_value,
        "method": interval.method,
        "speaks_of": interval.speaks_of,
        "seeds": interval.num_seeds,
    }


def _check(evaluations: Evaluations, arm: str, reference: str, k: int, level: str) -> None:
    n, name = evaluations.num_samples, evaluations.benchmark
    if level not in get_args(Level):
        raise ValueError(f"there is no level {level!r}; choose from {', '.join(get_args(Level))}")
    for one in (arm, reference):
        if one not in evaluations.correct:
            raise ValueError(f"{name} has no arm {one!r}; choose from {', '.join(evaluations.correct)}")
    if arm == reference:
        raise ValueError(f"{arm} cannot be compared with itself; name another reference")
    if not 1 <= k <= n:
        raise FrameError(f"Pass@{k} on {name} does not exist with n = {n} samples a problem; choose k from 1 to {n}")
    if level == "samples" and 2 * k > n:
        raise FrameError(
            f"Pass@{k} on {name} has no within-problem variance with n = {n} samples: that needs k ≤ n/2; draw {2 * k} "
            "samples, or ask at level problems"
        )
    single = [one for one in (arm, reference) if one != BASE and len(evaluations.seeds[one]) < 2]
    if level == "seeds" and single:
        raise FrameError(
            f"{' and '.join(single)} on {name} {'has' if len(single) == 1 else 'have'} one seed, and one run cannot "
            "speak of the method; run two or more seeds (better five), or ask at level problems"
        )


def _over_samples(evaluations: Evaluations, contrast: Contrast) -> Interval:
    """Samples of different checkpoints are independent, so their variances add."""
    estimate = variance = 0.0
    for arm, values_SP in score_by_problem(evaluations, contrast).items():
        (k,) = contrast[arm]
        rows = chosen_seeds(evaluations, contrast, arm)
        correct_SP = evaluations.correct[arm][rows]
        estimate += float(values_SP[rows].mean())
        within_SP = within_problem_covariance(correct_SP, evaluations.num_samples, k, k)
        variance += float(within_SP.sum()) / correct_SP.size**2
    if variance <= 0:
        return Interval(estimate, np.nan, np.nan, NO_VARIATION, THESE_PROBLEMS)
    half = float(scipy_stats.norm.ppf(0.5 + LEVEL / 2)) * variance**0.5
    p_value = float(2 * scipy_stats.norm.sf(abs(estimate) / variance**0.5))
    return Interval(estimate, estimate - half, estimate + half, OVER_SAMPLES, THESE_PROBLEMS, p_value=p_value)


def _over_paired_seeds(evaluations: Evaluations, contrast: Contrast) -> Interval:
    by_seed: dict[int, float] = {}
    for arm, values_SP in score_by_problem(evaluations, contrast).items():
        for seed, value in zip(evaluations.seeds[arm], values_SP.mean(axis=1), strict=True):
            by_seed[seed] = by_seed.get(seed, 0.0) + float(value)
    difference_S = np.array(list(by_seed.values()))
    estimate, lo, hi = t_interval(difference_S)
    num_seeds = len(difference_S)
    if np.isnan(lo):
        return Interval(estimate, lo, hi, NO_SPREAD, METHOD, num_seeds)
    variance = np.var(difference_S, ddof=1) / num_seeds
    p_value = float(t_p_value(np.array(estimate), variance, num_seeds - 1))
    return Interval(estimate, lo, hi, PAIRED_SEEDS, METHOD, num_seeds, p_value)
