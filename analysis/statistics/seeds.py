"""What several training seeds say together: aggregates over benchmarks, and how many seeds a claim needs.

A model that was trained once is scored on many benchmarks and problems, so what was drawn at random is the seed:
whole seeds are resampled, never benchmarks or problems for each run by itself, which takes one model's scores for
many models' (nominal 95 % intervals then cover 39–45 %). Resampling a handful of seeds gives the right standard error
but tails that are too thin, so the interval is Student's with that error; for a mean it is exactly Welch's.

Shapes: S seeds of one arm, M benchmarks, D simulated experiments, N numbers of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from analysis.io.parquet import FrameError
from analysis.statistics.evaluations import NO_SPREAD, Evaluations
from analysis.statistics.intervals import LEVEL, Interval, satterthwaite, t_p_value, t_quantile, varies, welch
from analysis.statistics.passk import pass_at_k

NUM_RESAMPLES = 2000
NUM_EXPERIMENTS = 4000  # power is then known to ±1.2 points
POWER = 0.8
MAX_SEEDS = 1000
WHOLE_SEEDS = "t with the spread of resampled whole seeds"
ON_THESE = "the method (its training seeds) on exactly these problems"


def seed_scores(evaluations: Sequence[Evaluations], arm: str, k: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """[S, M]: Pass@k of an arm's seeds on each benchmark, and the seed numbers: those evaluated on all of them.

    Raises:
        FrameError: no seed has an evaluation on all benchmarks.
    """
    seeds = sorted(set.intersection(*(set(e.seeds.get(arm, ())) for e in evaluations)))
    if not seeds:
        names = ", ".join(e.benchmark for e in evaluations)
        raise FrameError(f"no seed of {arm} is evaluated on all of {names}; evaluate one on each, or name fewer")
    columns = []
    for e in evaluations:
        chosen = [e.correct[arm][e.seeds[arm].index(seed)] for seed in seeds]
        columns.append([pass_at_k(correct_P, e.num_samples, [k]).mean() for correct_P in chosen])
    return np.array(columns).T, tuple(seeds)


def interquartile_mean(scores_SM: np.ndarray, *, rng: np.random.Generator) -> Interval:
    """Mean of the middle half of all seed × benchmark cells (Agarwal et al. 2021, arXiv 2108.13264).

    Raises:
        FrameError: one seed.
    """
    return _whole_seeds(lambda groups: _trimmed(groups[0]), [scores_SM], rng=rng)


def probability_of_improvement(ours_SM: np.ndarray, theirs_SM: np.ndarray, *, rng: np.random.Generator) -> Interval:
    """Chance that a run of ours scores above a run of theirs (ties half), averaged over benchmarks; 0.5: no difference.

    Mann and Whitney's statistic / (S · S'), as in Agarwal et al. 2021. The interval is symmetric in the logit, which
    keeps it between 0 and 1 and lets it cover near them: simulated, 95 % nominal, S = 3, 5, 10 and probabilities of
    0.5 to 0.95: 95–99 %, where the plain one covers 83–95 %. Bounds are NaN where all of one side's runs are above all
    of the other's on each benchmark: so few seeds cannot say how close to 0 or 1 it is.

    Raises:
        FrameError: one seed on either side.
    """
    plain = _whole_seeds(lambda groups: _share_above(*groups), [ours_SM, theirs_SM], rng=rng)
    estimate = plain.estimate
    if np.isnan(plain.lo) or not 0 < estimate < 1:
        return replace(plain, lo=np.nan, hi=np.nan, method=NO_SPREAD)
    half = (plain.hi - estimate) / (estimate * (1 - estimate))
    lo, hi = special.expit(special.logit(estimate) + np.array([-half, half])).tolist()
    return replace(plain, lo=lo, hi=hi)


def _trimmed(scores_DSM: np.ndarray) -> np.ndarray:
    """[D]: interquartile means of D sets of cells."""
    cells = scores_DSM.reshape(len(scores_DSM), -1)
    return scipy_stats.trim_mean(cells, 0.25, axis=1)


def _share_above(ours_DSM: np.ndarray, theirs_DSM: np.ndarray) -> np.ndarray:
    """[D]: share of pairs of runs in which ours is above theirs, ties half, over all benchmarks."""
    difference = ours_DSM[:, :, None, :] - theirs_DSM[:, None, :, :]
    return ((np.sign(difference) + 1) / 2).mean(axis=(1, 2, 3))


def _whole_seeds(
    statistic: Callable[[list[np.ndarray]], np.ndarray], groups: Sequence[np.ndarray], *, rng: np.random.Generator
) -> Interval:
    """Each group is resampled by itself, the others as recorded: its part of the variance, as in Welch's interval."""
    sizes = [len(group) for group in groups]
    if min(sizes) < 2:
        raise FrameError("one seed shows no spread between seeds, so it cannot speak of the method; run two or more")
    recorded = [np.asarray(group, dtype=float)[None] for group in groups]
    estimate = float(statistic(recorded)[0])
    parts = []
    for i, size in enumerate(sizes):
        rows = rng.integers(size, size=(NUM_RESAMPLES, size))
        resampled = statistic([*recorded[:i], recorded[i][0][rows], *recorded[i + 1 :]])
        # S − 1 and not S: the spread of resampled means is that much too small
        parts.append(np.where(varies(resampled), np.var(resampled) * size / (size - 1), 0.0))
    variance, df = satterthwaite(parts, [size - 1 for size in sizes])
    if len(set(sizes)) > 1:  # with unequal numbers these degrees of freedom reject too often (contrasts.py)
        df = np.where(np.isnan(df), np.nan, min(sizes) - 1.0)
    half = t_quantile(float(df)) * float(np.sqrt(variance))
    method = NO_SPREAD if np.isnan(half) else WHOLE_SEEDS
    return Interval(estimate, estimate - half, estimate + half, method, ON_THESE, min(sizes))


@dataclass(frozen=True)
class SeedsNeeded:
    """Seeds per arm that resolve an effect with the given power; infinite where more than MAX_SEEDS are needed.

    `seeds` takes the recorded spread between seeds for the true one; `lo` and `hi` the ends of its 95 % interval,
    which is wide: from three seeds the spread is known to a factor of six.
    """

    effect: float
    power: float
    seeds: float
    lo: float
    hi: float


@dataclass(frozen=True)
class Spread:
    """Spread between the seeds of one arm (an entry: its paired differences) or two, with its 95 % interval.

    `lo` and `hi` are factors on the standard deviations, from the χ² interval of the variance of the difference.
    """

    deviations: tuple[float, ...]
    lo: float
    hi: float


def recorded_spread(ours_S: np.ndarray, theirs_S: np.ndarray | None = None) -> Spread:
    """Spread of two arms' scores, one for each seed; or, with one array, of differences that are paired by seed.

    Raises:
        FrameError: an arm with one seed, or seeds that are all alike.
    """
    groups = [ours_S] if theirs_S is None else [ours_S, theirs_S]
    if min(map(len, groups)) < 2:
        raise FrameError(
            "one seed shows no spread between seeds, so nothing can say how many are needed; run two or more first"
        )
    _, variance, df = welch(groups)
    if np.isnan(variance):
        raise FrameError("all recorded seeds are alike, so there is no spread to plan with; check that seeds differ")
    tails = scipy_stats.chi2.ppf([0.5 + LEVEL / 2, 0.5 - LEVEL / 2], float(df))
    lo, hi = np.sqrt(float(df) / tails).tolist()
    return Spread(tuple(float(np.std(group, ddof=1)) for group in groups), lo, hi)


def power_by_seeds(effect: float, deviations: Sequence[float], num_seeds_N: Sequence[int], *, seed: int) -> np.ndarray:
    """[N]: how often a t test at 5 % finds an effect with so many seeds per arm, in simulated experiments.

    Scores are normal around their arm's mean: two deviations are two arms (Welch), one is that of paired differences.
    Means and variances are drawn as such, from N(·, σ²/S) and σ²χ²/(S − 1), which is the same as drawing each seed.
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
    """The fewest seeds per arm (2 … MAX_SEEDS) with which `effect` is found with the given power, by simulation.

    An effect that was chosen for being large, or that is itself hardly known, is likely to be smaller than recorded:
    then more seeds are needed than this says.
    """
    fewest = [
        _fewest_seeds(effect, [factor * deviation for deviation in spread.deviations], power, seed)
        for factor in (1.0, spread.lo, spread.hi)
    ]
    return SeedsNeeded(effect, power, *fewest)


def _fewest_seeds(effect: float, deviations: Sequence[float], power: float, seed: int) -> float:
    """Bisection: power grows with the number of seeds."""

    def enough(num_seeds: int) -> bool:
        return bool(power_by_seeds(effect, deviations, [num_seeds], seed=seed)[0] >= power)

    if not enough(MAX_SEEDS):
        return np.inf
    low, high = 1, MAX_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(high)
