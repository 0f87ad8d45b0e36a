"""Linear contrasts of arms, with the interval that their data allow: the one place where scopes are decided.

Three scopes, each wider than the one before; every interval names its own:
    CHECKPOINTS  these checkpoints on problems like these      problems vary; all that one seed allows
    SEEDS        the method on exactly these problems          training seeds vary
    METHOD       the method on problems like these             both vary; the default where arms have seeds
One convention for two arms: paired by seed where they share two or more seed numbers (only those count), Welch where
they do not. Intervals and p-values are Student's t, each source of error with its own degrees of freedom; where every
problem is worth −1, 0 or +1 (k = n, one seed) the exact McNemar test decides at 0. docs/statistics.md gives the reasons
and the simulated coverage; `python -m benchmarks coverage` prints it.

Several benchmarks make one contrast over all their problems, each problem counted once; the variance is that within
benchmarks. Shapes: S seeds, P problems (of all benchmarks given), n samples, X contrasts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

from .frames import BASE, FrameError
from .multiplicity import simultaneous_share
from .passk import KS, effective_problems, fail_table, within_problem_covariance
from .stats import LEVEL, Interval, summed_t, welch, wilson_interval

CHECKPOINTS = "these checkpoints on problems like these"
SEEDS = "the method (its training seeds) on exactly these problems"
METHOD = "the method (its training seeds) on problems like these"
BASE_MODEL = "the base model on problems like these"

OVER_PROBLEMS = "t over problems"
WILSON = "Wilson over problems"
EXACT = "exact McNemar test with t over problems"
OVER_SEEDS, OVER_WELCH = "paired t over seeds", "Welch's t over seeds"
OVER_BOTH, OVER_WELCH_BOTH = "t over paired seeds and over problems", "Welch's t over seeds, and t over problems"
OWN_SEEDS, OWN_BOTH = "t over seeds", "t over seeds and over problems"

MIN_VARYING = 6  # with fewer, not even an exact test can reach 5 %: 2 · 0.5⁵ > 0.05
TOO_FEW = f"none (fewer than {MIN_VARYING} problems differ)"
NO_VARIATION = "none (all problems alike)"
NO_SPREAD = "none (all seeds alike)"

SIMULATED = "min-p simulated from the recorded covariance"
BONFERRONI = "Bonferroni, too few seeds for more"
MIN_BAND_SEEDS, MIN_SIMULATED_SEEDS = 3, 4
FEW_SEEDS_NO_BAND = f"none (fewer than {MIN_BAND_SEEDS} seeds)"

_ROUNDING = 1e-12  # of sums of numbers near 1: what is smaller is 0

# Arm → key → weight: Σ weight · score_key(arm). Keys are k of Pass@k unless other scores are given.
# A gain is {arm: {k: 1}, reference: {k: -1}}.
Contrast = Mapping[str, Mapping[Any, float]]
Scores = Mapping[Any, np.ndarray]


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


@dataclass(frozen=True)
class _Sources:
    """One contrast, reduced to what its interval rests on."""

    scope: str
    method: str
    problem_P: np.ndarray  # the contrast by problem, mean over seeds
    problem_variance: float  # of the mean over problems
    problem_df: float
    seed_deviations: Mapping[Hashable, float]  # of the seeds' means; squares add up to seed_variance
    seed_variance: float
    seed_df: float
    fixed_variance: float  # of the base model's own samples, where problems are fixed
    num_seeds: int
    reason: str = ""  # why there is no interval
    exact_p: float = np.nan
    level: bool = False


def contrast_intervals(
    evaluations: Evaluations | Sequence[Evaluations],
    contrasts: Sequence[Contrast],
    scores: Scores | None = None,
    *,
    scope: str | None = None,
    bands: bool = True,
) -> list[Interval]:
    """Return one interval per contrast; a NaN estimate where a k exceeds n.

    Bands are simultaneous over the contrasts of one call that have one scope and are banded alike.

    Args:
        evaluations: of one benchmark, or of several: then each contrast is over the problems of all of them.
        scores: key → a problem's score for each value of `correct`, for contrasts of something other than Pass@k:
            [n+1] for what depends on the count alone (see metrics.py).
        scope: CHECKPOINTS, SEEDS or METHOD for all contrasts; None: METHOD where each trained arm has two seeds or
            more, else CHECKPOINTS.

    Raises:
        FrameError: SEEDS or METHOD is asked for and a trained arm has one seed.
    """
    strata = [evaluations] if isinstance(evaluations, Evaluations) else list(evaluations)
    sources = [_sources(strata, contrast, scores, scope) for contrast in contrasts]
    if not sources:
        return []
    found = _pointwise(sources)
    return _with_bands(strata, sources, found) if bands else found


def trained_arms(contrast: Contrast) -> list[str]:
    """The contrast's arms that have seeds: all but the base model."""
    return [arm for arm in contrast if arm != BASE]


def is_level(contrast: Contrast) -> bool:
    """True for one arm's own value, which is a share; False for a difference, whose natural zero is 0."""
    weights = [weight for by_key in contrast.values() for weight in by_key.values()]
    return len(contrast) == 1 and abs(sum(weights) - 1.0) < _ROUNDING


def common_seeds(strata: Sequence[Evaluations], contrast: Contrast) -> dict[str, tuple[int, ...]]:
    """Arm → its seeds that count: those that all trained arms share if there are any, else all of its own.

    Of several benchmarks, seeds that are evaluated on each.
    """
    own = {arm: set.intersection(*(set(stratum.seeds[arm]) for stratum in strata)) for arm in trained_arms(contrast)}
    shared = set.intersection(*own.values()) if own else set()
    return {arm: tuple(sorted(shared or seeds)) for arm, seeds in own.items()}


def score_by_problem(
    evaluations: Evaluations, contrast: Contrast, seeds: Mapping[str, Sequence[int]], scores: Scores | None = None
) -> dict[str, np.ndarray]:
    """Arm → [S, P]: the arm's share of the contrast, for each of the seeds and each problem."""
    values = {}
    for arm, weights in contrast.items():
        if scores is None:
            value_by_count = _pass_by_count(evaluations.num_samples, tuple(weights.items()))
        else:
            value_by_count = np.sum([weight * scores[key] for key, weight in weights.items()], axis=0)
        rows = [0] if arm == BASE else [evaluations.seeds[arm].index(seed) for seed in seeds[arm]]
        values[arm] = value_by_count[evaluations.correct[arm][rows]]
    return values


@lru_cache(maxsize=256)  # the pairs of a dozen arms ask for the same few again and again
def _pass_by_count(num_samples: int, weights: tuple[tuple[int, float], ...]) -> np.ndarray:
    """[n+1]: Σ weight · Pass@k for each count of correct samples."""
    pass_KN = 1.0 - fail_table(num_samples, [k for k, _ in weights])
    return np.array([weight for _, weight in weights]) @ pass_KN


def _sources(strata: Sequence[Evaluations], contrast: Contrast, scores: Scores | None, scope: str | None) -> _Sources:
    seeds = common_seeds(strata, contrast)
    few = [arm for arm, numbers in seeds.items() if len(numbers) < 2]
    if few and len(seeds) > 1 and scope != CHECKPOINTS:  # one shared seed is no pairing: arms stand for themselves
        alone = {arm: common_seeds(strata, {arm: {}})[arm] for arm in seeds}
        seeds, few = (alone, []) if all(len(numbers) > 1 for numbers in alone.values()) else (seeds, few)
    if scope is None:
        scope = METHOD if seeds and not few else CHECKPOINTS
    elif scope != CHECKPOINTS and (few or not seeds):
        raise FrameError(
            f"{' and '.join(few) or BASE} on {strata[0].benchmark} {'has' if len(few) < 2 else 'have'} one seed, and "
            "one run cannot speak of the method; run two or more seeds (better five), or ask for scope checkpoints"
        )
    parts = [score_by_problem(stratum, contrast, seeds, scores) for stratum in strata]
    values = {arm: np.concatenate([part[arm] for part in parts], axis=1) for arm in contrast}
    sizes = [stratum.num_problems for stratum in strata]
    problem_P = np.sum([values_SP.mean(axis=0) for values_SP in values.values()], axis=0)
    level = is_level(contrast)
    variance, df = _over_problems(problem_P, sizes, level=level)
    reason = _why_no_interval(problem_P, variance, level=level)
    if scope == CHECKPOINTS:
        exact_p = np.nan if level or reason else _exact_p(problem_P)
        method = OVER_PROBLEMS if np.isnan(exact_p) else EXACT
        if level and np.isin(problem_P, (0.0, 1.0)).all():
            method = WILSON
        named = BASE_MODEL if set(contrast) == {BASE} else CHECKPOINTS
        return _Sources(
            named, reason or method, problem_P, variance, df, {}, 0.0, np.inf, 0.0, 1, reason, exact_p, level
        )
    deviations, seed_variance, seed_df, paired = _over_seeds(values, seeds)
    fixed = 0.0
    if scope == METHOD and seed_variance == 0:  # a tie of the seeds' means: what differs is the problems
        seed_variance = _interaction(values, seeds)
    if scope == METHOD and level and reason in (NO_VARIATION, TOO_FEW) and seed_variance > 0:
        # Scores in [0, 1] vary at most as much as ones and zeros do.
        mean = float(problem_P.mean())
        variance, df, reason = mean * (1 - mean) / len(problem_P), len(problem_P) - 1.0, ""
    if scope == SEEDS:
        reason, variance = "" if seed_variance > 0 else NO_SPREAD, 0.0
        fixed = _base_variance(strata, contrast, problem_P, is_passk=scores is None) if BASE in contrast else 0.0
    method = _seed_method(scope, paired=paired, several=len(seeds) > 1)
    num_seeds = min(map(len, seeds.values()))
    return _Sources(
        scope, reason or method, problem_P, variance, df, deviations, seed_variance, seed_df, fixed, num_seeds, reason,
        level=level,
    )  # fmt: skip


def _seed_method(scope: str, *, paired: bool, several: bool) -> str:
    if not several:
        return OWN_SEEDS if scope == SEEDS else OWN_BOTH
    if paired:
        return OVER_SEEDS if scope == SEEDS else OVER_BOTH
    return OVER_WELCH if scope == SEEDS else OVER_WELCH_BOTH


def _over_problems(problem_P: np.ndarray, sizes: Sequence[int], *, level: bool) -> tuple[float, float]:
    """Variance of the mean over problems, within benchmarks, and its degrees of freedom.

    A variance that rests on few problems is known less well than P − 1 degrees of freedom say. The recorded fourth
    moment gives 2 · (effective problems), by Satterthwaite's match of moments; 1.5 makes up for skewness, since with 2
    the coverage of skewed differences at P = 30 and 40 falls to 91 % (benchmarks/coverage.py; docs/statistics.md).
    """
    num_problems, start, variance = len(problem_P), 0, 0.0
    for size in sizes:
        part_P, start = problem_P[start : start + size], start + size
        if size < 2:
            return np.nan, np.nan
        variance += float(np.var(part_P, ddof=1)) * size / num_problems**2
    middle = float(np.median(problem_P))
    effective = effective_problems(problem_P - middle)
    if not level:
        effective = min(effective, effective_problems(problem_P))
    return variance, min(num_problems - len(sizes), max(1.5 * effective, 1.0))


def _why_no_interval(problem_P: np.ndarray, variance: float, *, level: bool) -> str:
    if np.isnan(problem_P).any():
        return "none (k > n)"
    differs_P = np.abs(problem_P - (np.median(problem_P) if level else 0.0)) > _ROUNDING
    if not differs_P.any() or not variance > _ROUNDING**2:
        return NO_VARIATION
    return TOO_FEW if differs_P.sum() < MIN_VARYING else ""


def _exact_p(problem_P: np.ndarray) -> float:
    """p of the exact McNemar test where each problem is worth −1, 0 or +1; else NaN."""
    whole_P = np.rint(problem_P)
    if np.abs(problem_P - whole_P).max() > _ROUNDING or np.abs(whole_P).max() > 1:
        return np.nan
    above, below = int((whole_P > 0).sum()), int((whole_P < 0).sum())
    return float(scipy_stats.binomtest(above, above + below).pvalue)


def _over_seeds(
    values: Mapping[str, np.ndarray], seeds: Mapping[str, tuple[int, ...]]
) -> tuple[dict[Hashable, float], float, float, bool]:
    """Scaled deviations of seeds, the variance that they add up to, its degrees of freedom, and True if paired.

    Arms on different seeds have Welch's degrees of freedom; with unequal numbers of seeds those of the smaller number,
    since Welch's then reject up to 8.6 % of true nulls at 5 %.
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
    """Variance of the seeds' mean that comes from problems on which the seeds differ, each in its own way."""
    total = 0.0
    paired = len(set(seeds.values())) == 1
    groups = [np.sum([values[arm] for arm in seeds], axis=0)] if paired else [values[arm] for arm in seeds]
    for group_SP in groups:
        total += float(np.var(group_SP, axis=0, ddof=1).sum()) / group_SP.size / group_SP.shape[1]
    return total


def _base_variance(
    strata: Sequence[Evaluations], contrast: Contrast, problem_P: np.ndarray, *, is_passk: bool
) -> float:
    """Variance of the base's part on fixed problems: within problems where j + k ≤ n, else its bound from the pairs."""
    total, weights = 0.0, contrast[BASE]
    for stratum in strata:
        within = [
            v * w * within_problem_covariance(stratum.correct[BASE][0], stratum.num_samples, j, k).sum()
            for j, v in weights.items()
            for k, w in weights.items()
        ] if is_passk else [np.nan]  # fmt: skip
        total += float(np.sum(within))
    if np.isnan(total):
        return float(np.var(problem_P, ddof=1)) / len(problem_P)
    return max(total, 0.0) / len(problem_P) ** 2  # an unbiased estimate of a tiny variance may come out negative


def _parts(sources: Sequence[_Sources]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The sources of error with their degrees of freedom, each [X]; those that vary nowhere are left out."""
    columns = [
        ("problem_variance", [one.problem_df for one in sources]),
        ("seed_variance", [one.seed_df for one in sources]),
        ("fixed_variance", [np.inf] * len(sources)),
    ]
    parts = []
    for name, dfs in columns:
        variance_X = np.array([np.nan if one.reason else getattr(one, name) for one in sources])
        # Without an own share the source of another contrast costs nothing here.
        df_X = np.where(variance_X > 0, np.array(dfs, dtype=float), np.inf)
        if np.nan_to_num(variance_X).any():
            parts.append((variance_X, df_X))
    return parts or [(np.full(len(sources), np.nan), np.ones(len(sources)))]


def _pointwise(sources: Sequence[_Sources]) -> list[Interval]:
    estimate_X = np.array([one.problem_P.mean() for one in sources])
    estimate_X[np.abs(estimate_X) < _ROUNDING] = 0.0
    parts = _parts(sources)
    half_X, p_X = summed_t(estimate_X, parts)
    error_X = np.sqrt(np.sum([variance_X for variance_X, _ in parts], axis=0))
    found = []
    for one, estimate, half, p_value, error in zip(
        sources, estimate_X.tolist(), half_X.tolist(), p_X.tolist(), error_X.tolist(), strict=True
    ):
        lo, hi = _clean(estimate - half), _clean(estimate + half)
        if one.method == WILSON:
            lo, hi = wilson_interval(estimate * len(one.problem_P), len(one.problem_P))
        if not np.isnan(one.exact_p):
            if one.exact_p > 1 - LEVEL:  # the exact test decides at 0
                p_value, lo, hi = one.exact_p, min(lo, 0.0), max(hi, 0.0)
            elif not lo <= 0 <= hi:  # else hardly a problem is undecided, and the t's p, above 5 %, stands
                p_value = one.exact_p
        found.append(
            Interval(
                estimate, lo, hi, one.method, one.scope, one.num_seeds, np.nan if one.level else p_value,
                num_below=int((one.problem_P < -_ROUNDING).sum()),
                num_above=int((one.problem_P > _ROUNDING).sum()),
                error=error,
            )
        )  # fmt: skip
    return found


def _clean(bound: float) -> float:
    """The bound, and 0 for what is 0 but for rounding."""
    return 0.0 if abs(bound) < _ROUNDING else bound


def _with_bands(
    strata: Sequence[Evaluations], sources: Sequence[_Sources], found: Sequence[Interval]
) -> list[Interval]:
    """The intervals with bands: of one family for each scope and way of making them."""
    families: dict[tuple[str, str], list[int]] = {}
    for x, one in enumerate(sources):
        families.setdefault((one.scope, _band_method(one)), []).append(x)
    banded = list(found)
    for (_, method), places in families.items():
        family = [sources[x] for x in places]
        if method.startswith("none"):
            for x in places:
                banded[x] = replace(found[x], band=method)
            continue
        if method == BONFERRONI:
            share = (1 - LEVEL) / len(family)
        else:
            factors_RX = _factors(family, [stratum.num_problems for stratum in strata])
            share = simultaneous_share(factors_RX, rng=np.random.default_rng(strata[0].seed))
        half_X, _ = summed_t(np.zeros(len(family)), _parts(family), level=1 - share)
        for x, half in zip(places, half_X.tolist(), strict=True):
            # A band is never inside the interval of its own cell, which an exact test may have widened.
            lo, hi = min(found[x].estimate - half, found[x].lo), max(found[x].estimate + half, found[x].hi)
            banded[x] = replace(found[x], band_lo=_clean(lo), band_hi=_clean(hi), band=method)
    return banded


def _band_method(one: _Sources) -> str:
    if one.reason:
        return one.reason
    if one.scope in (CHECKPOINTS, BASE_MODEL):
        return SIMULATED
    if one.num_seeds < MIN_BAND_SEEDS:
        return FEW_SEEDS_NO_BAND
    return BONFERRONI if one.num_seeds < MIN_SIMULATED_SEEDS else SIMULATED


def _factors(family: Sequence[_Sources], sizes: Sequence[int]) -> np.ndarray:
    """[R, X]: deviations of problems and of seeds, scaled so that products of columns are covariances of estimates."""
    problem_PX = np.stack([one.problem_P for one in family], axis=1)
    start = 0
    for size in sizes:
        rows = slice(start, start := start + size)
        problem_PX[rows] -= problem_PX[rows].mean(axis=0)
        problem_PX[rows] *= np.sqrt(size / max(size - 1, 1)) / len(problem_PX)
    problem_PX[:, [one.problem_variance == 0 for one in family]] = 0.0
    keys = sorted({key for one in family for key in one.seed_deviations}, key=repr)
    seed_RX = np.array([[one.seed_deviations.get(key, 0.0) for one in family] for key in keys])
    return np.concatenate([problem_PX, seed_RX.reshape(len(keys), len(family))])
