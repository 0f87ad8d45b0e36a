"""Intervals and simultaneous bands of linear contrasts of arms.

Every interval names its scope:
    CHECKPOINTS  these checkpoints on problems like these      problems vary; the only scope of one seed
    SEEDS        the method on exactly these problems          training seeds vary
    METHOD       the method on problems like these             both vary; the default with two seeds or more
Two arms that share two or more seed numbers are paired by seed, and then only the shared seeds are used; else they are
compared by Welch's t. Intervals and p-values are Student's t; each source of error has its own degrees of freedom.
Where every problem is worth −1, 0 or +1 (k = n, one seed), the exact McNemar test decides whether the interval contains
0. docs/statistics.md explains the choices;
`python -m benchmarks coverage` prints the simulated coverage.

A contrast over several benchmarks counts each of their problems once; its variance is that within benchmarks.
Shapes: P problems (of all benchmarks given), X contrasts, R rows of deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.statistics.error_sources import Sources, find_sources
from analysis.statistics.evaluations import (
    BASE_MODEL,
    BONFERRONI,
    CHECKPOINTS,
    FEW_SEEDS_NO_BAND,
    MIN_BAND_SEEDS,
    MIN_SIMULATED_SEEDS,
    ROUNDING,
    SIMULATED,
    WILSON,
    Contrast,
    Evaluations,
    Scores,
)
from analysis.statistics.intervals import LEVEL, Interval, summed_t, wilson_interval
from analysis.statistics.multiplicity import simultaneous_share


def contrast_intervals(
    evaluations: Evaluations | Sequence[Evaluations],
    contrasts: Sequence[Contrast],
    scores: Scores | None = None,
    *,
    scope: str | None = None,
    bands: bool = True,
) -> list[Interval]:
    """Return one interval per contrast. Its estimate is NaN where a k exceeds n.

    A band is simultaneous over all contrasts of the call that have the same scope and the same method of bands.

    Args:
        evaluations: of one benchmark, or of several for contrasts over all their problems.
        scores: for metrics other than Pass@k: metric key → array indexed by the entries of `correct`: [n+1] where these
            are counts (count_metrics.py).
        scope: CHECKPOINTS, SEEDS or METHOD. Default: METHOD where each trained arm has two seeds or more, else
            CHECKPOINTS.

    Raises:
        FrameError: the scope is SEEDS or METHOD and a trained arm has one seed.
    """
    strata = [evaluations] if isinstance(evaluations, Evaluations) else list(evaluations)
    sources = [find_sources(strata, contrast, scores, scope) for contrast in contrasts]
    if not sources:
        return []
    found = _pointwise(sources)
    return _with_bands(strata, sources, found) if bands else found


def _variance_parts(sources: Sequence[Sources]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (variance, degrees of freedom) of each source of error that varies somewhere, each [X]."""
    columns = [
        ("problem_variance", [source.problem_df for source in sources]),
        ("seed_variance", [source.seed_df for source in sources]),
        ("fixed_variance", [np.inf] * len(sources)),
    ]
    parts = []
    for name, dfs in columns:
        variance_X = np.array([np.nan if source.no_interval_reason else getattr(source, name) for source in sources])
        # a source without variance in this contrast must not widen its interval
        df_X = np.where(variance_X > 0, np.array(dfs, dtype=float), np.inf)
        if np.nan_to_num(variance_X).any():
            parts.append((variance_X, df_X))
    return parts or [(np.full(len(sources), np.nan), np.ones(len(sources)))]


def _pointwise(sources: Sequence[Sources]) -> list[Interval]:
    estimate_X = np.array([source.problem_P.mean() for source in sources])
    estimate_X[np.abs(estimate_X) < ROUNDING] = 0.0
    parts = _variance_parts(sources)
    half_X, p_X = summed_t(estimate_X, parts)
    error_X = np.sqrt(np.sum([variance_X for variance_X, _ in parts], axis=0))
    found = []
    for source, estimate, half, p_value, error in zip(
        sources, estimate_X.tolist(), half_X.tolist(), p_X.tolist(), error_X.tolist(), strict=True
    ):
        lo, hi = _round_to_zero(estimate - half), _round_to_zero(estimate + half)
        if source.method == WILSON:
            lo, hi = wilson_interval(estimate * len(source.problem_P), len(source.problem_P))
        if not np.isnan(source.exact_p):
            if source.exact_p > 1 - LEVEL:  # the exact test decides whether the interval contains 0
                p_value, lo, hi = source.exact_p, min(lo, 0.0), max(hi, 0.0)
            elif not lo <= 0 <= hi:  # where the t interval holds 0, its p above 5 % stands
                p_value = source.exact_p
        found.append(
            Interval(
                estimate, lo, hi, source.method, source.scope, source.num_seeds, np.nan if source.is_share else p_value,
                num_below=int((source.problem_P < -ROUNDING).sum()),
                num_above=int((source.problem_P > ROUNDING).sum()),
                error=error,
            )
        )  # fmt: skip
    return found


def _round_to_zero(bound: float) -> float:
    """Return the bound, or 0 where it differs from 0 by rounding only."""
    return 0.0 if abs(bound) < ROUNDING else bound


def _with_bands(strata: Sequence[Evaluations], sources: Sequence[Sources], found: Sequence[Interval]) -> list[Interval]:
    """Return the intervals with bands. Contrasts of one scope and one method of bands form a family."""
    families: dict[tuple[str, str], list[int]] = {}
    for x, source in enumerate(sources):
        families.setdefault((source.scope, _band_method(source)), []).append(x)
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
            factors_RX = _correlation_factors(family, [stratum.num_problems for stratum in strata])
            share = simultaneous_share(factors_RX, rng=np.random.default_rng(strata[0].seed))
        half_X, _ = summed_t(np.zeros(len(family)), _variance_parts(family), level=1 - share)
        for x, half in zip(places, half_X.tolist(), strict=True):
            # an exact test may have widened the cell's own interval; the band must contain it
            lo, hi = min(found[x].estimate - half, found[x].lo), max(found[x].estimate + half, found[x].hi)
            banded[x] = replace(found[x], band_lo=_round_to_zero(lo), band_hi=_round_to_zero(hi), band=method)
    return banded


def _band_method(source: Sources) -> str:
    if source.no_interval_reason:
        return source.no_interval_reason
    if source.scope in (CHECKPOINTS, BASE_MODEL):
        return SIMULATED
    if source.num_seeds < MIN_BAND_SEEDS:
        return FEW_SEEDS_NO_BAND
    return BONFERRONI if source.num_seeds < MIN_SIMULATED_SEEDS else SIMULATED


def _correlation_factors(family: Sequence[Sources], sizes: Sequence[int]) -> np.ndarray:
    """Return deviations of problems and seeds, [R, X], scaled: products of columns are covariances of estimates."""
    problem_PX = np.stack([source.problem_P for source in family], axis=1)
    start = 0
    for size in sizes:
        rows = slice(start, start := start + size)
        problem_PX[rows] -= problem_PX[rows].mean(axis=0)
        problem_PX[rows] *= np.sqrt(size / max(size - 1, 1)) / len(problem_PX)
    problem_PX[:, [source.problem_variance == 0 for source in family]] = 0.0
    keys = sorted({key for source in family for key in source.seed_deviations}, key=repr)
    seed_RX = np.array([[source.seed_deviations.get(key, 0.0) for source in family] for key in keys])
    return np.concatenate([problem_PX, seed_RX.reshape(len(keys), len(family))])
