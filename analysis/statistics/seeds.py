"""Aggregates over benchmarks of several training seeds, and the number of seeds that a claim needs.

The random unit is the training seed, so whole seeds are resampled. Resampling benchmarks or problems of each run
separately treats one model's scores as those of many models; its nominal 95 % intervals cover 39–45 %. Resampling a
few seeds gives the right standard error but thin tails, so the interval is Student's with that error. For a mean with
equal numbers of seeds it is Welch's, up to the noise of NUM_RESAMPLES resamples.

Shapes: S seeds of one arm, M benchmarks, D simulated experiments, N numbers of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from analysis.io.parquet import FrameError
from analysis.statistics.evaluations import ALL_ABOVE, NO_SPREAD, ROUNDING, SEEDS, Evaluations
from analysis.statistics.intervals import LEVEL, Interval, satterthwaite, t_p_value, t_quantile, welch
from analysis.statistics.passk import pass_at_k
from analysis.statistics.spread import varies

NUM_RESAMPLES = 2000
NUM_EXPERIMENTS = 4000  # power is then known to ±1.2 points
POWER = 0.8
MAX_SEEDS = 1000
WHOLE_SEEDS = "t with the spread of resampled whole seeds"


def seed_scores(evaluations: Sequence[Evaluations], arm: str, k: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return Pass@k of an arm's seeds on each benchmark, [S, M], and the seed numbers: those evaluated on all of them.

    Raises:
        FrameError: no seed has an evaluation on all benchmarks.
    """
    seeds = sorted(set.intersection(*(set(e.seeds.get(arm, ())) for e in evaluations)))
    if not seeds:
        names = ", ".join(e.benchmark for e in evaluations)
        raise FrameError(f"{arm}: no seed is evaluated on all of {names}; evaluate one on each, or name fewer")
    columns = []
    for e in evaluations:
        chosen = [e.correct[arm][e.seeds[arm].index(seed)] for seed in seeds]
        columns.append([pass_at_k(correct_P, e.num_samples, [k]).mean() for correct_P in chosen])
    return np.array(columns).T, tuple(seeds)


def interquartile_mean(scores_SM: np.ndarray, *, rng: np.random.Generator) -> Interval:
    """Return the mean of the middle half of all seed × benchmark cells (Agarwal et al. 2021, arXiv 2108.13264).

    Of fewer than four cells it is the mean.

    Raises:
        FrameError: one seed.
    """
    return _resample_whole_seeds(lambda groups: _interquartile_means(groups[0]), [scores_SM], rng=rng)


def probability_of_improvement(ours_SM: np.ndarray, theirs_SM: np.ndarray, *, rng: np.random.Generator) -> Interval:
    """Return the chance that a run of ours scores above a run of theirs, averaged over benchmarks; ties count half.

    It is Mann and Whitney's statistic / (S · S'), as in Agarwal et al. 2021; 0.5 means no difference. The interval is
    symmetric in the logit, which keeps it between 0 and 1. Simulated coverage at nominal 95 %, S = 3, 5, 10 and
    probabilities of 0.5 to 0.95: 95–99 %, against 83–95 % of the plain interval. Bounds are NaN where all runs of one
    side are above all of the other on each benchmark: few seeds cannot tell how close to 0 or 1 the chance is.

    Raises:
        FrameError: one seed on either side.
    """
    plain = _resample_whole_seeds(lambda groups: _share_above(*groups), [ours_SM, theirs_SM], rng=rng)
    estimate = plain.estimate
    if not 0 < estimate < 1:
        return replace(plain, lo=np.nan, hi=np.nan, method=ALL_ABOVE)
    if np.isnan(plain.lo):
        return plain
    half = (plain.hi - estimate) / (estimate * (1 - estimate))
    lo, hi = special.expit(special.logit(estimate) + np.array([-half, half])).tolist()
    return replace(plain, lo=lo, hi=hi)


def _interquartile_means(scores_DSM: np.ndarray) -> np.ndarray:
    """Return the interquartile means of D sets of cells, [D]."""
    cells = scores_DSM.reshape(len(scores_DSM), -1)
    return scipy_stats.trim_mean(cells, 0.25, axis=1)


def _share_above(ours_DSM: np.ndarray, theirs_DSM: np.ndarray) -> np.ndarray:
    """Return the share of pairs of runs in which ours is above theirs, over all benchmarks, [D]; ties count half."""
    # one of our seeds at a time, since all pairs at once take gigabytes where seeds are many
    wins_SD = [_wins(ours_DSM[:, i, None] - theirs_DSM) for i in range(ours_DSM.shape[1])]
    return np.sum(wins_SD, axis=0) / (ours_DSM.shape[1] * theirs_DSM[0].size)


def _wins(difference_DSM: np.ndarray) -> np.ndarray:
    """Return the number of differences above 0, [D]; those of 0 count half."""
    sign_DSM = np.where(np.abs(difference_DSM) > ROUNDING, np.sign(difference_DSM), 0.0)
    return ((sign_DSM + 1) / 2).sum(axis=(1, 2))


def _resample_whole_seeds(
    statistic: Callable[[list[np.ndarray]], np.ndarray], groups: Sequence[np.ndarray], *, rng: np.random.Generator
) -> Interval:
    """Return a statistic with an interval from resampled seeds: one group at a time, its variances added as Welch's."""
    sizes = [len(group) for group in groups]
    if min(sizes) < 2:
        raise FrameError("one seed shows no spread between seeds, so it cannot speak of the method; run two or more")
    recorded = [np.asarray(group, dtype=float)[None] for group in groups]
    estimate = float(statistic(recorded)[0])
    parts = []
    for i, size in enumerate(sizes):
        rows = rng.integers(size, size=(NUM_RESAMPLES, size))
        resampled = statistic([*recorded[:i], recorded[i][0][rows], *recorded[i + 1 :]])
        # the spread of resampled means is too small by the factor (S − 1) / S
        parts.append(np.where(varies(resampled), np.var(resampled) * size / (size - 1), 0.0))
    variance, df = satterthwaite(parts, [size - 1 for size in sizes])
    if len(set(sizes)) > 1:  # with unequal numbers these degrees of freedom reject too often (error_sources.py)
        df = np.where(np.isnan(df), np.nan, min(sizes) - 1.0)
    half = t_quantile(float(df)) * float(np.sqrt(variance))
    method = NO_SPREAD if np.isnan(half) else WHOLE_SEEDS
    return Interval(estimate, estimate - half, estimate + half, method, SEEDS, min(sizes))


@dataclass(frozen=True)
class SeedsNeeded:
    """Number of seeds per arm that finds an effect with the given power; inf if more than MAX_SEEDS are needed.

    `seeds` assumes the recorded spread between seeds. `lo` and `hi` assume the ends of its 95 % interval, which is
    wide: with three paired seeds its upper end is 6.3 times the recorded spread, its lower end half of it (χ² with 2
    degrees of freedom).
    """

    effect: float
    power: float
    seeds: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Spread:
    """Spread between seeds, with its 95 % interval: of paired differences (one entry) or of two arms (two entries).

    `lo` and `hi` are factors on the standard deviations, from the χ² interval of the variance of the difference.
    """

    deviations: tuple[float, ...]
    lo: float
    hi: float


def recorded_spread(ours_S: np.ndarray, theirs_S: np.ndarray | None = None) -> Spread:
    """Return the spread of two arms' scores by seed or, with one array, of differences paired by seed.

    Raises:
        FrameError: an arm has one seed, or all seeds are equal.
    """
    groups = [ours_S] if theirs_S is None else [ours_S, theirs_S]
    if min(map(len, groups)) < 2:
        raise FrameError(
            "one seed shows no spread between seeds, from which the number needed follows; run two or more seeds"
        )
    _, variance, df = welch(groups)
    if np.isnan(variance):
        raise FrameError("all recorded seeds have one score, so there is no spread to plan with; check the seeds")
    tails = scipy_stats.chi2.ppf([0.5 + LEVEL / 2, 0.5 - LEVEL / 2], float(df))
    lo, hi = np.sqrt(float(df) / tails).tolist()
    return Spread(tuple(float(np.std(group, ddof=1)) for group in groups), lo, hi)


def power_by_seeds(effect: float, deviations: Sequence[float], num_seeds_N: Sequence[int], *, seed: int) -> np.ndarray:
    """Return the power of a t test at 5 % for each number of seeds per arm, by simulation, [N].

    Scores are normal around their arm's mean. Two deviations stand for two arms (Welch), one for paired differences.
    Means and variances are drawn directly, from N(·, σ²/S) and σ²χ²/(S − 1), which is equivalent to drawing seeds.
    """
    power = []
    for num_seeds in num_seeds_N:
        rng = np.random.default_rng([seed, num_seeds])
        estimate_D = np.full(NUM_EXPERIMENTS, float(effect))
        parts = []
        for deviation in deviations:
            error = deviation / np.sqrt(num_seeds)
            estimate_D += rng.normal(0.0, error, NUM_EXPERIMENTS)
            parts.append(error**2 * rng.chisquare(num_seeds - 1, NUM_EXPERIMENTS) / (num_seeds - 1))
        variance_D, df_D = satterthwaite(parts, [num_seeds - 1] * len(parts))
        power.append(np.mean(t_p_value(estimate_D, variance_D, df_D) < 1 - LEVEL))
    return np.array(power)


def seeds_needed(effect: float, spread: Spread, *, power: float = POWER, seed: int) -> SeedsNeeded:
    """Return the smallest number of seeds per arm (2 … MAX_SEEDS) that finds `effect` with the given power.

    An effect that was selected for its size, or is poorly known, is probably smaller than recorded and then needs more
    seeds.
    """
    fewest = [
        _fewest_seeds(effect, [factor * deviation for deviation in spread.deviations], power, seed)
        for factor in (1.0, spread.lo, spread.hi)
    ]
    return SeedsNeeded(effect, power, *fewest)


def _fewest_seeds(effect: float, deviations: Sequence[float], power: float, seed: int) -> float:
    """Return the smallest sufficient number of seeds by bisection: power grows with the number."""

    def enough(num_seeds: int) -> bool:
        return bool(power_by_seeds(effect, deviations, [num_seeds], seed=seed)[0] >= power)

    if not enough(MAX_SEEDS):
        return np.inf
    low, high = 1, MAX_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)
