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
benchmarks. Shapes: P problems (of all benchmarks given), X contrasts, R rows of deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.statistics.error_sources import Sources, sources_of
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
    sources = [sources_of(strata, contrast, scores, scope) for contrast in contrasts]
    if not sources:
        return []
    found = _pointwise(sources)
    return _with_bands(strata, sources, found) if bands else found


def _parts(sources: Sequence[Sources]) -> list[tuple[np.ndarray, np.ndarray]]:
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


def _pointwise(sources: Sequence[Sources]) -> list[Interval]:
    estimate_X = np.array([one.problem_P.mean() for one in sources])
    estimate_X[np.abs(estimate_X) < ROUNDING] = 0.0
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
                num_below=int((one.problem_P < -ROUNDING).sum()),
                num_above=int((one.problem_P > ROUNDING).sum()),
                error=error,
            )
        )  # fmt: skip
    return found


def _clean(bound: float) -> float:
    """The bound, and 0 for what is 0 but for rounding."""
    return 0.0 if abs(bound) < ROUNDING else bound


def _with_bands(strata: Sequence[Evaluations], sources: Sequence[Sources], found: Sequence[Interval]) -> list[Interval]:
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


def _band_method(one: Sources) -> str:
    if one.reason:
        return one.reason
    if one.scope in (CHECKPOINTS, BASE_MODEL):
        return SIMULATED
    if one.num_seeds < MIN_BAND_SEEDS:
        return FEW_SEEDS_NO_BAND
    return BONFERRONI if one.num_seeds < MIN_SIMULATED_SEEDS else SIMULATED


def _factors(family: Sequence[Sources], sizes: Sequence[int]) -> np.ndarray:
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
