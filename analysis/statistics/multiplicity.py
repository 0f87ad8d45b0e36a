"""Many comparisons at once: simultaneous bands, and p-values corrected for a family.

Bands are for whole curves and tables. Holm is for a family that was declared before the data were seen. Benjamini and
Hochberg is for exploration, where a known share of false discoveries is acceptable.
Shapes: X cells (one arm at one k), R rows of deviations, D simulated draws, K factors of their correlation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special
from scipy import stats as scipy_stats

from analysis.statistics.intervals import LEVEL

NUM_DRAWS = 4000


def simultaneous_share(
    factors_RX: np.ndarray, *, rng: np.random.Generator, num_draws: int = NUM_DRAWS, level: float = LEVEL
) -> float:
    """Return the error rate per interval at which all X hold together with probability `level`.

    It is a quantile of the smallest p-value of all cells, over draws from the normal law with the estimates' recorded
    correlation (single-step min-p; Westfall and Young 1993, Resampling-Based Multiple Testing). Correlated cells, such
    as neighbouring k, widen the band little.

    Args:
        factors_RX: deviations of problems and seeds; products of its columns are the covariances of the estimates.
    """
    root_KX = factors_RX / np.sqrt(np.einsum("rx,rx->x", factors_RX, factors_RX))
    if len(root_KX) > root_KX.shape[1]:  # as many factors as cells are enough
        values_X, vectors_XX = np.linalg.eigh(root_KX.T @ root_KX)
        root_KX = (vectors_XX * np.sqrt(np.maximum(values_X, 0.0))).T
    largest_D = np.abs(rng.standard_normal((num_draws, len(root_KX))) @ root_KX).max(axis=1)
    smallest = float(2 * special.ndtr(-np.quantile(largest_D, level)))
    return min(smallest, 1 - level)  # noise of the draws must not make a band narrower than an interval


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Holm's method, in the order given.

    Rejecting those below α keeps the chance of any false rejection in the family at α or below (Holm 1979, Scandinavian
    Journal of Statistics 6). A NaN (no test) stays NaN and does not count.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def benjamini_hochberg(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted by Benjamini and Hochberg's method, in the order given.

    Of those below q, an expected share of at most q is false (Benjamini and Hochberg 1995, JRSS B 57). A NaN (no test)
    stays NaN and does not count.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(p_values.shape, np.nan)
    tested = np.isfinite(p_values)
    if tested.any():
        adjusted[tested] = scipy_stats.false_discovery_control(p_values[tested], method="bh")
    return adjusted
