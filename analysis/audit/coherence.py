"""Coherence of a row of Pass@k: the search for one set of samples that gives it.

With n samples of a problem, c of them correct, Pass@k is column c of the table T[k, c] = 1 − C(n−c, k)/C(n, k). A
benchmark's row is the mean of its problems' columns, so it lies in the convex hull of n + 1 columns, whatever the model
and the problems. Means over seeds lie there too. So do rows from more than n samples a problem, the plug-in
1 − (1−c/n)^k and the true 1 − (1−p)^k: n samples drawn from many have a random c. The assumed n may therefore be too
small, never too large.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.optimize import linprog

from analysis.statistics.passk import fail_table


def least_deviation(value_K: np.ndarray, ks: Sequence[int], num_samples: int) -> tuple[float, np.ndarray]:
    """Return the smallest possible deviation of a set of samples from a row of shares, and that set's row [K].

    The deviation is the largest over k. A linear programme finds it: mixture weights w ≥ 0, Σw = 1, smallest t with
    |T·w − value| ≤ t at every k. A row that was rounded once deviates by at most half a unit of its last place.

    Raises:
        ValueError: a k above n.
    """
    if max(ks) > num_samples:
        raise ValueError(f"k={max(ks)}: Pass@k does not exist for k above n = {num_samples}")
    columns = 100 * _columns(num_samples, tuple(ks))  # in percent, well above the solver's tolerance of 1e-7
    target = 100 * np.asarray(value_K, dtype=np.float64)
    num_ks, num_columns = columns.shape
    t = np.ones((num_ks, 1))
    solved = linprog(
        np.append(np.zeros(num_columns), 1.0),
        A_ub=np.block([[columns, -t], [-columns, -t]]),
        b_ub=np.concatenate([target, -target]),
        A_eq=np.append(np.ones(num_columns), 0.0)[None],
        b_eq=[1.0],
        method="highs",
    )
    assert solved.success, solved.message  # feasible and bounded for every row of shares
    return float(solved.fun) / 100, columns @ solved.x[:-1] / 100


@lru_cache(maxsize=8)
def _columns(num_samples: int, ks: tuple[int, ...]) -> np.ndarray:
    return 1.0 - fail_table(num_samples, ks)
