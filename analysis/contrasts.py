"""Linear contrasts of the arms of one benchmark, with the interval that their data allow.

Which uncertainty speaks of which claim is decided here, once:
- an arm with one seed supports claims about *this checkpoint* on problems like these: problems are resampled, with
  the same draw for all arms, so that differences are paired;
- arms with two or more seeds support claims about *the method*: the seeds are the unit (Student's t, Welch's for two
  arms). Resampling problems would then reject far too often, however many seeds are averaged.

Shapes: S seeds, P problems, n samples, X contrasts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from .frames import BASE
from .multiplicity import max_t_bands, seed_bands
from .passk import KS, effective_problems, fail_table, studentised_bootstrap, within_problem_covariance
from .stats import LEVEL, Interval, t_p_value, t_quantile, varies, welch

NUM_RESAMPLES = 2000
CHECKPOINTS = "these checkpoints on problems like these"
METHOD = "the method (its training seeds) on these problems"
OVER_PROBLEMS = "paired bootstrap over problems"
OVER_SEEDS = "t over seeds"
NO_VARIATION = "none (all problems alike)"
NO_SPREAD = "none (all seeds alike)"
MAX_T = "studentised maxT from the same bootstrap"

# A bootstrap cannot see what has hardly happened. Where the variation rests on fewer problems than this
# (passk.effective_problems), a cell has no band and is no part of the family: simulated family-wise coverage of 36
# gains, nominal 95 %: 94–97 % at P = 30 … 500; with such cells in it 72–98 %, and far wider bands for all others.
MIN_EFFECTIVE_PROBLEMS = 6
TOO_FEW_PROBLEMS = f"none (variation rests on fewer than {MIN_EFFECTIVE_PROBLEMS} problems)"

# Arm → key → weight: Σ weight · score_key(arm). Keys are k of Pass@k unless other scores are given.
# A gain is {arm: {k: 1}, reference: {k: -1}}.
Contrast = Mapping[str, Mapping[Any, float]]


@dataclass(frozen=True)
class Evaluations:
    """One benchmark's comparable evaluations: `correct[arm]` is [S, P]; the base model, if known, is an arm, S = 1."""

    benchmark: str
    num_samples: int
    temperature: float
    top_p: float
    correct: Mapping[str, np.ndarray]
    seeds: Mapping[str, tuple[int, ...]]
    unfinished: frozenset[str] = frozenset()  # arms of which no run is finished
    notes: tuple[str, ...] = ()
    seed: int = 0  # of every resampling

    @property
    def num_problems(self) -> int:
        return next(iter(self.correct.values())).shape[1]

    @property
    def largest_k(self) -> int:
        return max(k for k in KS if k <= self.num_samples)


def contrast_intervals(
    evaluations: Evaluations, contrasts: Sequence[Contrast], scores: Mapping[Any, np.ndarray] | None = None
) -> list[Interval]:
    """One interval per contrast, all from the same bootstrap draw. NaN estimate where a k exceeds n.

    The draw is the same in every call with the same number of problems, so curve, table and verdict agree. Bands are
    simultaneous over the contrasts of one call that speak of the same.

    Args:
        scores: key → a problem's score for each value of `correct`, for contrasts of something other than Pass@k:
            [n+1] for what depends on the count alone (see metrics.py).
    """
    over_seeds = [i for i, contrast in enumerate(contrasts) if _has_seeds(evaluations, contrast)]
    over_problems = sorted(set(range(len(contrasts))) - set(over_seeds))
    found: dict[int, Interval] = {}
    for chosen, intervals in ((over_seeds, method_intervals), (over_problems, checkpoint_intervals)):
        if chosen:
            found |= dict(zip(chosen, intervals(evaluations, [contrasts[i] for i in chosen], scores), strict=True))
    return [found[i] for i in range(len(contrasts))]


def trained_arms(contrast: Contrast) -> list[str]:
    """The contrast's arms that have seeds: all but the base model."""
    return [arm for arm in contrast if arm != BASE]


def _has_seeds(evaluations: Evaluations, contrast: Contrast) -> bool:
    trained = trained_arms(contrast)
    return bool(trained) and all(len(evaluations.seeds[arm]) > 1 for arm in trained)


def chosen_seeds(evaluations: Evaluations, contrast: Contrast, arm: str) -> list[int]:
    """Rows of `correct[arm]` that stand for the arm's checkpoint: the seeds that all trained arms share, else all."""
    if arm == BASE:
        return [0]
    shared = set.intersection(*(set(evaluations.seeds[name]) for name in trained_arms(contrast)))
    return [row for row, seed in enumerate(evaluations.seeds[arm]) if seed in shared or not shared]


def score_by_problem(
    evaluations: Evaluations, contrast: Contrast, scores: Mapping[Any, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Arm → [S, P]: the arm's share of the contrast, for each seed and problem."""
    values = {}
    for arm, weights in contrast.items():
        if scores is None:
            value_by_count = _pass_by_count(evaluations.num_samples, tuple(weights.items()))
        else:
            value_by_count = np.sum([weight * scores[key] for key, weight in weights.items()], axis=0)
        values[arm] = value_by_count[evaluations.correct[arm]]
    return values


@lru_cache(maxsize=256)  # the pairs of a dozen arms ask for the same few again and again
def _pass_by_count(num_samples: int, weights: tuple[tuple[int, float], ...]) -> np.ndarray:
    """[n+1]: Σ weight · Pass@k for each count of correct samples."""
    pass_KN = 1.0 - fail_table(num_samples, [k for k, _ in weights])
    return np.array([weight for _, weight in weights]) @ pass_KN


def _checkpoint_scores(
    evaluations: Evaluations, contrast: Contrast, scores: Mapping[Any, np.ndarray] | None
) -> np.ndarray:
    """[P]: the contrast between checkpoints."""
    values = score_by_problem(evaluations, contrast, scores)
    parts = [values[arm][chosen_seeds(evaluations, contrast, arm)].mean(axis=0) for arm in contrast]
    return np.sum(parts, axis=0)


def checkpoint_intervals(
    evaluations: Evaluations, contrasts: Sequence[Contrast], scores: Mapping[Any, np.ndarray] | None = None
) -> list[Interval]:
    """Percentile intervals of the bootstrap over problems; p-values of the paired t over problems.

    The bootstrap's own p cannot fall below 2 / NUM_RESAMPLES, too coarse for a correction over many comparisons.
    """
    scores_PX = np.stack([_checkpoint_scores(evaluations, contrast, scores) for contrast in contrasts]).T
    estimate_X, varies_X = scores_PX.mean(axis=0), varies(scores_PX)
    rng = np.random.default_rng(evaluations.seed)
    means_BX, t_BX = studentised_bootstrap(scores_PX, rng=rng, num_resamples=NUM_RESAMPLES)
    lo_X, hi_X = np.where(varies_X, np.quantile(means_BX, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0), np.nan)
    dof = max(evaluations.num_problems - 1, 1)
    variance_X = np.where(varies_X, scores_PX.var(axis=0) / dof, np.nan)
    p_X = t_p_value(estimate_X, variance_X, dof)
    enough_X = varies_X & (effective_problems(scores_PX) >= MIN_EFFECTIVE_PROBLEMS)
    band_lo_X, band_hi_X = max_t_bands(estimate_X, np.where(enough_X, np.sqrt(variance_X), np.nan), t_BX)
    # a band is never inside the interval of its own cell, which knows the skewness of that cell
    bands = (np.minimum(band_lo_X, lo_X), np.maximum(band_hi_X, hi_X))
    numbers = np.stack([estimate_X, lo_X, hi_X, p_X, *bands])
    methods = np.where(varies_X, OVER_PROBLEMS, NO_VARIATION)
    names = np.where(enough_X, MAX_T, np.where(varies_X, TOO_FEW_PROBLEMS, NO_VARIATION))
    return _assemble(numbers, methods, names, CHECKPOINTS, [1] * len(contrasts))


def method_intervals(
    evaluations: Evaluations, contrasts: Sequence[Contrast], scores: Mapping[Any, np.ndarray] | None = None
) -> list[Interval]:
    """Welch's t over the seeds of each arm. The base has one evaluation, so its own error is added as a variance."""
    arms = {arm: len(evaluations.seeds[arm]) for contrast in contrasts for arm in trained_arms(contrast)}
    groups = {arm: np.zeros((num_seeds, len(contrasts))) for arm, num_seeds in arms.items()}
    base_X, extra_X = np.zeros(len(contrasts)), np.zeros(len(contrasts))
    for x, contrast in enumerate(contrasts):
        values = score_by_problem(evaluations, contrast, scores)
        for arm in trained_arms(contrast):
            groups[arm][:, x] = values[arm].mean(axis=1)
        if BASE in contrast:
            base_X[x] = values[BASE].mean()
            extra_X[x] = _base_variance(evaluations, contrast, values, is_passk=scores is None)
    estimate_X, variance_X, df_X = welch(list(groups.values()), extra_variance=extra_X)
    estimate_X = estimate_X + base_X
    half_X = np.array([t_quantile(float(df)) for df in df_X]) * np.sqrt(variance_X)
    rng = np.random.default_rng(evaluations.seed)
    band_X, band = seed_bands(list(groups.values()), extra_variance=extra_X, rng=rng)
    ends = [estimate_X + width_X for width_X in (-half_X, half_X, -band_X, band_X)]
    numbers = np.stack([estimate_X, *ends[:2], t_p_value(estimate_X, variance_X, df_X), *ends[2:]])
    spread_X = np.isfinite(half_X)
    methods, names = (np.where(spread_X, name, NO_SPREAD) for name in (OVER_SEEDS, band))
    num_seeds = [min(arms[arm] for arm in trained_arms(contrast)) for contrast in contrasts]
    return _assemble(numbers, methods, names, METHOD, num_seeds)


def _assemble(
    numbers: np.ndarray, methods: np.ndarray, bands: np.ndarray, speaks_of: str, num_seeds: Sequence[int]
) -> list[Interval]:
    """Rows of numbers: estimate, lo, hi, p, band_lo, band_hi; columns: contrasts."""
    return [
        Interval(estimate, lo, hi, str(method), speaks_of, seeds, p_value, band_lo, band_hi, str(band))
        for (estimate, lo, hi, p_value, band_lo, band_hi), method, band, seeds in zip(
            numbers.T.tolist(), methods, bands, num_seeds, strict=True
        )
    ]


def _base_variance(
    evaluations: Evaluations, contrast: Contrast, values: Mapping[str, np.ndarray], *, is_passk: bool
) -> float:
    """Variance of the base's part: within problems where j + k ≤ n, else its upper bound from the paired problems."""
    num_problems, weights = evaluations.num_problems, contrast[BASE]
    variance = np.nan
    if is_passk:
        correct_P = evaluations.correct[BASE][0]
        within_P = sum(
            v * w * within_problem_covariance(correct_P, evaluations.num_samples, j, k)
            for j, v in weights.items()
            for k, w in weights.items()
        )
        variance = float(np.sum(within_P)) / num_problems**2
    if np.isnan(variance):
        difference_P = np.sum([values_SP.mean(axis=0) for values_SP in values.values()], axis=0)
        variance = float(np.var(difference_P, ddof=1)) / num_problems
    return max(variance, 0.0)  # an unbiased estimate of a tiny variance may come out negative
