"""Sources of error of a contrast: problems, training seeds and the base model's samples, with degrees of freedom.

Shapes: S seeds, P problems of all benchmarks given.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.io.parquet import FrameError
from analysis.io.study import BASE
from analysis.statistics.evaluations import (
    BASE_MODEL,
    CHECKPOINTS,
    EXACT,
    METHOD,
    MIN_VARYING,
    NO_SPREAD,
    NO_VARIATION,
    ONE_PROBLEM,
    OVER_BOTH,
    OVER_PROBLEMS,
    OVER_SEEDS,
    OVER_WELCH,
    OVER_WELCH_BOTH,
    OWN_BOTH,
    OWN_SEEDS,
    ROUNDING,
    SEEDS,
    TOO_FEW,
    WILSON,
    Contrast,
    Evaluations,
    Scores,
    common_seeds,
    is_single_share,
    score_by_problem,
)
from analysis.statistics.intervals import sign_test_p, welch
from analysis.statistics.passk import effective_problems, within_problem_covariance


@dataclass(frozen=True)
class Sources:
    """Estimate and variances of one contrast, from which its interval follows."""

    scope: str  # in words, as contrasts.py lists them
    method: str
    problem_P: np.ndarray  # the contrast of each problem, mean over seeds
    problem_variance: float  # of the mean over problems
    problem_df: float
    seed_deviations: Mapping[Hashable, float]  # scaled: their squares add up to seed_variance
    seed_variance: float
    seed_df: float
    fixed_variance: float  # from the base model's samples, where problems are fixed
    num_seeds: int  # 1 for CHECKPOINTS, however many seeds are averaged
    no_interval_reason: str = ""  # "": there is an interval
    exact_p: float = np.nan
    is_share: bool = False  # one arm's own value, not a difference


def find_sources(
    strata: Sequence[Evaluations], contrast: Contrast, scores: Scores | None, scope: str | None
) -> Sources:
    """Return the sources of error of a contrast over all problems of some benchmarks.

    Raises:
        FrameError: the scope is SEEDS or METHOD and a trained arm has one seed.
    """
    seeds, scope = _choose_seeds(strata, contrast, scope)
    parts = [score_by_problem(stratum, contrast, seeds, scores) for stratum in strata]
    values = {arm: np.concatenate([part[arm] for part in parts], axis=1) for arm in contrast}
    sizes = [stratum.num_problems for stratum in strata]
    problem_P = np.sum([values_SP.mean(axis=0) for values_SP in values.values()], axis=0)
    is_share = is_single_share(contrast)
    variance, df = _over_problems(problem_P, sizes, is_share=is_share)
    no_interval = _no_interval_reason(problem_P, variance, is_share=is_share)
    if scope == CHECKPOINTS:
        exact_p = np.nan if is_share or no_interval else _exact_p(problem_P)
        method = OVER_PROBLEMS if np.isnan(exact_p) else EXACT
        if is_share and np.isin(problem_P, (0.0, 1.0)).all():
            method = WILSON
        scope = BASE_MODEL if set(contrast) == {BASE} else CHECKPOINTS
        method = no_interval or method
        return Sources(scope, method, problem_P, variance, df, {}, 0.0, np.inf, 0.0, 1, no_interval, exact_p, is_share)
    deviations, seed_variance, seed_df, paired = _over_seeds(values, seeds)
    if scope == METHOD and seed_variance == 0:  # the seeds' means are tied, but seeds differ on single problems
        seed_variance = _interaction(values, seeds)
    if scope == METHOD and is_share and no_interval in (NO_VARIATION, TOO_FEW) and seed_variance > 0:
        # scores in [0, 1] vary at most as much as zeros and ones
        mean = float(problem_P.mean())
        variance, df, no_interval = mean * (1 - mean) / len(problem_P), len(problem_P) - 1.0, ""
    fixed, num_seeds = 0.0, min(map(len, seeds.values()))
    if scope == SEEDS:
        no_interval, variance = "" if seed_variance > 0 else NO_SPREAD, 0.0
        fixed = _base_variance(strata, contrast, problem_P, is_passk=scores is None) if BASE in contrast else 0.0
        no_interval = no_interval or (ONE_PROBLEM if np.isnan(fixed) else "")
    method = _seed_method(scope, paired=paired, several=len(seeds) > 1)
    return Sources(
        scope, no_interval or method, problem_P, variance, df, deviations, seed_variance, seed_df, fixed, num_seeds,
        no_interval, is_share=is_share,
    )  # fmt: skip


def _choose_seeds(
    strata: Sequence[Evaluations], contrast: Contrast, scope: str | None
) -> tuple[dict[str, tuple[int, ...]], str]:
    """Return the seeds of each trained arm and the scope: the given one, or the widest that the data allow."""
    seeds = common_seeds(strata, contrast)
    few = [arm for arm, numbers in seeds.items() if len(numbers) < 2]
    if few and len(seeds) > 1 and scope != CHECKPOINTS:  # one shared seed allows no pairing: each arm keeps its own
        own = {arm: common_seeds(strata, {arm: {}})[arm] for arm in seeds}
        few = [arm for arm, numbers in own.items() if len(numbers) < 2]
        seeds = seeds if few else own
    if scope is None:
        return seeds, METHOD if seeds and not few else CHECKPOINTS
    if scope != CHECKPOINTS and (few or not seeds):
        raise FrameError(
            f"{strata[0].benchmark}: {' and '.join(few) or BASE} {'has' if len(few) < 2 else 'have'} one seed, and "
            "one run cannot speak of the method; run two or more seeds (better five), or choose scope checkpoints"
        )
    return seeds, scope


def _seed_method(scope: str, *, paired: bool, several: bool) -> str:
    if not several:
        return OWN_SEEDS if scope == SEEDS else OWN_BOTH
    if paired:
        return OVER_SEEDS if scope == SEEDS else OVER_BOTH
    return OVER_WELCH if scope == SEEDS else OVER_WELCH_BOTH


def _over_problems(problem_P: np.ndarray, sizes: Sequence[int], *, is_share: bool) -> tuple[float, float]:
    """Return the variance of the mean over problems, within benchmarks, and its degrees of freedom.

    Both are NaN if a benchmark has one problem.

    A variance that rests on few problems is known less well than P − 1 degrees of freedom suggest. Matching the fourth
    moment (Satterthwaite) gives 2 · (effective problems) degrees of freedom. The factor here is 1.5: with 2, coverage
    of skewed differences at P = 30 and 40 falls to 91 % (benchmarks/coverage.py; docs/statistics.md).
    """
    num_problems, start, variance = len(problem_P), 0, 0.0
    for size in sizes:
        part_P, start = problem_P[start : start + size], start + size
        if size < 2:
            return np.nan, np.nan
        variance += float(np.var(part_P, ddof=1)) * size / num_problems**2
    # Deviations about the median show how few problems carry the variance of a skewed distribution. For a difference
    # those about 0, the null hypothesis, count too: the smaller number is conservative.
    middle = float(np.median(problem_P))
    effective = effective_problems(problem_P - middle)
    if not is_share:
        effective = min(effective, effective_problems(problem_P))
    return variance, min(num_problems - len(sizes), max(1.5 * effective, 1.0))


def _no_interval_reason(problem_P: np.ndarray, variance: float, *, is_share: bool) -> str:
    if np.isnan(problem_P).any():
        return "none (k > n)"
    if np.isnan(variance):
        return ONE_PROBLEM
    differs_P = np.abs(problem_P - (np.median(problem_P) if is_share else 0.0)) > ROUNDING
    if not differs_P.any() or not variance > ROUNDING**2:
        return NO_VARIATION
    return TOO_FEW if differs_P.sum() < MIN_VARYING else ""


def _exact_p(problem_P: np.ndarray) -> float:
    """Return p of the exact McNemar test where every problem is worth −1, 0 or +1, else NaN."""
    whole_P = np.rint(problem_P)
    if np.abs(problem_P - whole_P).max() > ROUNDING or np.abs(whole_P).max() > 1:
        return np.nan
    above, below = int((whole_P > 0).sum()), int((whole_P < 0).sum())
    return sign_test_p(above, below)


def _over_seeds(
    values: Mapping[str, np.ndarray], seeds: Mapping[str, tuple[int, ...]]
) -> tuple[dict[Hashable, float], float, float, bool]:
    """Return the seeds' scaled deviations, the variance they add up to, its degrees of freedom, and True if paired.

    Arms with different seeds have Welch's degrees of freedom. With unequal numbers of seeds the smaller number
    decides, since Welch's then reject up to 8.6 % of true nulls at 5 %.
    """
    sets = set(seeds.values())
    paired = len(sets) == 1
    groups: dict[Hashable, np.ndarray] = {}
    if paired:
        groups[""] = np.sum([values[arm].mean(axis=1) for arm in seeds], axis=0)
    else:
        groups.update({arm: values[arm].mean(axis=1) for arm in seeds})
    numbers = next(iter(sets)) if paired else ()
    _, variance, df = welch(list(groups.values()))
    if len({len(group_S) for group_S in groups.values()}) > 1:
        df = np.asarray(min(len(group_S) for group_S in groups.values()) - 1.0)
    deviations: dict[Hashable, float] = {}
    for name, group_S in groups.items():
        scaled_S = (group_S - group_S.mean()) / np.sqrt(len(group_S) * (len(group_S) - 1))
        own = numbers if paired else seeds[str(name)]
        deviations |= {(name, seed): float(value) for seed, value in zip(own, scaled_S, strict=True)}
    return deviations, float(np.nan_to_num(variance)), float(np.nan_to_num(df, nan=1.0)), paired


def _interaction(values: Mapping[str, np.ndarray], seeds: Mapping[str, tuple[int, ...]]) -> float:
    """Return the variance of the seeds' mean that comes from the interaction of seeds and problems."""
    total = 0.0
    paired = len(set(seeds.values())) == 1
    groups = [np.sum([values[arm] for arm in seeds], axis=0)] if paired else [values[arm] for arm in seeds]
    for group_SP in groups:
        total += float(np.var(group_SP, axis=0, ddof=1).sum()) / group_SP.size / group_SP.shape[1]
    return total


def _base_variance(
    strata: Sequence[Evaluations], contrast: Contrast, problem_P: np.ndarray, *, is_passk: bool
) -> float:
    """Return the variance of the base model's term on fixed problems.

    An unbiased variance within problems if all j + k ≤ n; else an upper bound, the variance over problems, which one
    problem does not show (NaN).
    """
    total, weights = 0.0, contrast[BASE]
    for stratum in strata:
        within = [
            v * w * within_problem_covariance(stratum.correct[BASE][0], stratum.num_samples, j, k).sum()
            for j, v in weights.items()
            for k, w in weights.items()
        ] if is_passk else [np.nan]  # fmt: skip
        total += float(np.sum(within))
    if np.isnan(total):
        return float(np.var(problem_P, ddof=1)) / len(problem_P) if len(problem_P) > 1 else np.nan
    return max(total, 0.0) / len(problem_P) ** 2  # an unbiased estimate may be negative
