"""Many comparisons at once: simultaneous bands, and p-values corrected for a family.

Which is for what: bands for whole curves and tables (every cell may be read); Holm for a family declared before the
data were seen; Benjamini and Hochberg for exploration, where a known share of false finds is acceptable.
Shapes: X cells (arm and k, say), B bootstrap replicates, S seeds, D simulated data sets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats as scipy_stats

from .stats import LEVEL, satterthwaite, t_p_value, varies, welch

NUM_DRAWS = 2000
_CHUNK = 250  # data sets simulated at once, to keep memory small
MIN_SEEDS = 4  # with fewer, the simulated band covers too rarely: see seed_bands

MIN_P = "min-p simulated from the covariance of the seeds"
BONFERRONI = "Bonferroni, too few seeds for more"


def max_t_bands(
    estimates_X: np.ndarray, errors_X: np.ndarray, t_BX: np.ndarray, *, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """[X], [X]: estimate ± c · error, c the level-quantile over replicates of the largest |t| of all cells.

    All cells lie in their bands at once with the given probability (single-step maxT; Romano and Wolf 2005,
    Econometrica 73). Cells whose error is NaN are no part of the family and get NaN.
    """
    family = np.isfinite(errors_X)
    if not family.any():
        return np.full_like(estimates_X, np.nan), np.full_like(estimates_X, np.nan)
    critical = np.quantile(np.abs(t_BX[:, family]).max(axis=1), level)
    return estimates_X - critical * errors_X, estimates_X + critical * errors_X


def seed_bands(
    groups: Sequence[np.ndarray],
    *,
    extra_variance: float | np.ndarray = 0.0,
    rng: np.random.Generator,
    level: float = LEVEL,
) -> tuple[np.ndarray, str]:
    """[X]: half-widths of bands around Welch's estimates that hold for all X cells at once; and the method's name.

    Groups are those of stats.welch, one for each arm: [S, X]. Each cell's interval is widened to the same level of
    its own t distribution: the quantile, over simulated data sets, of the smallest p-value of all cells. The data sets
    are normal with each arm's recorded covariance between cells, so that neighbouring k, which move together, cost
    little. Arms are drawn independently: seeds that two arms share make the bands wider than need be, not narrower.
    The fixed term's error (extra_variance) is drawn independently for each cell, which errs to the same side.
    Where an arm has fewer than MIN_SEEDS seeds, its covariance is too uncertain, and Bonferroni takes its place:
    simulated family-wise coverage of nominal 95 %, one arm over nine k: S = 2: 77 % (Bonferroni 95 %), S = 3: 92–93 %
    (96 %), S = 4: 95 %, S = 5: 94–96 %, S = 10: 94–97 %. NaN where nothing varies.
    """
    _, variance_X, df_X = welch(groups, extra_variance=extra_variance)
    family = np.isfinite(variance_X)
    if not family.any():
        return np.full(variance_X.shape, np.nan), ""
    if min(map(len, groups)) < MIN_SEEDS:
        each, method = (1 - level) / family.sum(), BONFERRONI
    else:
        extra_X = np.broadcast_to(extra_variance, variance_X.shape)[family]
        each = _smallest_p([group[:, family] for group in groups], extra_X, rng=rng, share=1 - level)
        method = MIN_P
    return scipy_stats.t.isf(each / 2, df_X) * np.sqrt(variance_X), method


def _smallest_p(groups: Sequence[np.ndarray], extra_X: np.ndarray, *, rng: np.random.Generator, share: float) -> float:
    """The quantile of the smallest p-value of all cells over data sets that are simulated with no effect anywhere."""
    residuals = [
        np.where(varies(group_SX), group_SX - group_SX.mean(axis=0), 0.0) / np.sqrt(len(group_SX) - 1)
        for group_SX in groups
    ]
    chunks = [
        _simulated_smallest(
            [some.astype(np.float32) for some in residuals], extra_X, rng, min(_CHUNK, NUM_DRAWS - start)
        )
        for start in range(0, NUM_DRAWS, _CHUNK)
    ]
    return min(float(np.quantile(np.concatenate(chunks), share)), share)  # noise must not undercut a single cell


def _simulated_smallest(
    residuals: Sequence[np.ndarray], extra_X: np.ndarray, rng: np.random.Generator, num_draws: int
) -> np.ndarray:
    """[num_draws]: smallest p-values; random sums of an arm's residuals have its recorded covariance."""
    estimate_DX = rng.standard_normal((num_draws, len(extra_X)), dtype=np.float32) * np.sqrt(extra_X)
    parts = []
    for residuals_SX in residuals:
        num_seeds = len(residuals_SX)
        drawn_DSX = rng.standard_normal((num_draws, num_seeds, num_seeds), dtype=np.float32) @ residuals_SX
        estimate_DX += drawn_DSX.mean(axis=1)
        parts.append(drawn_DSX.var(axis=1, ddof=1) / num_seeds)
    variance_DX, df_DX = satterthwaite(parts, [len(some) - 1 for some in residuals], extra_X)
    return t_p_value(estimate_DX, variance_DX, df_DX).min(axis=1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values, in the order given: below α in any of them means an error rate of at most α over the family.

    Holm 1979, Scandinavian Journal of Statistics 6. A NaN (no test) stays NaN and is no part of the family.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjusted p-values: of all below q, at most a share q is expected to be false. For exploration, and labelled so.

    Benjamini and Hochberg 1995, JRSS B 57. A NaN (no test) stays NaN and is no part of the family.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.isfinite(p_values)
    if tested.any():
        adjusted[tested] = scipy_stats.false_discovery_control(p_values[tested], method="bh")
    return adjusted
