"""Many comparisons at once: simultaneous bands, and p-values corrected for a family.

Bands for whole curves and tables (every cell may be read); Holm for a family declared before the
data were seen; Benjamini and Hochberg for exploration, where a known share of false finds is acceptable.
Shapes: X cells (arm and k, say), R rows of deviations, D simulated draws, K factors of their correlation.
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
    """Share of misses at which each of X intervals must be made so that all hold at once with probability `level`.

    The share is the quantile, over draws from the normal law with the estimates' recorded correlation, of the smallest
    p-value of all cells (single-step min-p; Westfall and Young 1993, Resampling-Based Multiple Testing). Neighbouring
    k, which move together, cost little.

    Args:
        factors_RX: products of its columns are the covariances of the estimates (deviations of problems and seeds).
    """
    root_KX = factors_RX / np.sqrt(np.einsum("rx,rx->x", factors_RX, factors_RX))
    if len(root_KX) > root_KX.shape[1]:  # as many factors as cells do
        values_X, vectors_XX = np.linalg.eigh(root_KX.T @ root_KX)
        root_KX = (vectors_XX * np.sqrt(np.maximum(values_X, 0.0))).T
    largest_D = np.abs(rng.standard_normal((num_draws, len(root_KX))) @ root_KX).max(axis=1)
    smallest = float(2 * special.ndtr(-np.quantile(largest_D, level)))
    return min(smallest, 1 - level)  # the draws' noise must not undercut a single interval


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
