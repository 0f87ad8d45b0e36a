"""Pass@k from counts of correct samples.

Shapes: K values of k, P problems, n samples a problem, c of them correct.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def fail_table(num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """Return C(n−c, k) / C(n, k), [K, n+1]: the chance that k samples drawn without replacement are all wrong.

    The recurrence fail(c) = fail(c−1) · (n−c+1−k) / (n−c+1), fail(0) = 1 is exact and needs no binomials, so it
    neither overflows nor cancels. It gives 0 where n − c < k. Rows with k > n are NaN.

    Raises:
        ValueError: n or a k below 1.
    """
    if num_samples < 1 or any(k < 1 for k in ks):
        raise ValueError(f"Pass@k needs n ≥ 1 and k ≥ 1; got n = {num_samples}, k = {list(ks)}")
    k_K1 = np.asarray(ks, dtype=np.float64)[:, None]
    left = num_samples - np.arange(num_samples, dtype=np.float64)  # n − c + 1 for c = 1 … n
    ratio = np.maximum(left - k_K1, 0.0) / left
    fail = np.concatenate([np.ones((len(ks), 1)), np.cumprod(ratio, axis=1)], axis=1)
    fail[np.asarray(ks) > num_samples] = np.nan
    return fail


def pass_at_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """Return 1 − C(n−c, k) / C(n, k), [P, K]: unbiased for each problem; NaN where k > n.

    Source: Chen et al. 2021 (arXiv 2107.03374), and the paper's Eq. 37.

    Raises:
        ValueError: a count outside 0 … n.
    """
    if correct_P.min() < 0 or correct_P.max() > num_samples:
        raise ValueError(f"counts of correct samples must lie in 0 … n = {num_samples}")
    return 1.0 - fail_table(num_samples, ks)[:, correct_P].T


def within_problem_covariance(correct_P: np.ndarray, num_samples: int, j: int, k: int) -> np.ndarray:
    """Return an unbiased estimate of Cov(Pass@j, Pass@k) from a problem's n samples, [P]; NaN where j + k > n.

    It is fail_j · fail_k − fail_{j+k}: j + k distinct samples all fail with probability (1−p)^j (1−p)^k, so
    fail_{j+k} estimates the product of the means without bias. With j = k it is the variance.
    """
    fail_j, fail_k, fail_both = fail_table(num_samples, (j, k, j + k))[:, correct_P]
    return fail_j * fail_k - fail_both


def effective_problems(deviation_P: np.ndarray) -> float:
    """Return (Σd²)² / Σd⁴ of the deviations d: the effective number of problems behind their variance.

    It is m where m problems deviate equally and all others not at all, P/3 for normal deviations, 0 without variation.
    """
    square_P = deviation_P**2
    fourth = float(square_P @ square_P)
    return float(square_P.sum()) ** 2 / fourth if fourth > 0 else 0.0
