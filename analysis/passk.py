"""Pass@k from counts. Pure numpy; no loop over problems.

Shapes: K values of k, P problems, n samples a problem, c of them correct, B bootstrap replicates, X columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

KS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# Replicates drawn at once, so that weights and their index never take more than some tens of MB.
_CHUNK = 256

# A replicate in which the problems that vary were hardly drawn has a spread near 0; this share of the recorded spread
# is the least that it is taken for.
_LEAST_SPREAD = 0.1


def fail_table(num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """[K, n+1]: C(n−c, k) / C(n, k), the chance that none of k samples drawn without replacement is correct.

    The exact recurrence fail(c) = fail(c−1) · (n−c+1−k) / (n−c+1), fail(0) = 1 needs no binomials, so it neither
    overflows nor cancels; it is 0 by itself where n − c < k. Rows with k > n are NaN: such a draw does not exist.
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
    """[P, K]: 1 − C(n−c, k) / C(n, k) (Chen et al. 2021; paper Eq. 37), unbiased for each problem; NaN where k > n."""
    if correct_P.min() < 0 or correct_P.max() > num_samples:
        raise ValueError(f"counts of correct samples must lie in 0 … n = {num_samples}")
    return 1.0 - fail_table(num_samples, ks)[:, correct_P].T


def within_problem_covariance(correct_P: np.ndarray, num_samples: int, j: int, k: int) -> np.ndarray:
    """[P]: unbiased Cov(Pass@j, Pass@k) of a problem's two estimates, from the same n samples; NaN where j + k > n.

    fail_j · fail_k − fail_{j+k}: j + k distinct samples all fail with probability (1−p)^{j+k} = (1−p)^j (1−p)^k, so
    fail_{j+k} estimates the product of the means without bias. With j = k this is the variance, and needs k ≤ n/2.
    """
    fail_j, fail_k, fail_both = fail_table(num_samples, (j, k, j + k))[:, correct_P]
    return fail_j * fail_k - fail_both


def bootstrap_means(scores_PX: np.ndarray, *, rng: np.random.Generator, num_resamples: int) -> np.ndarray:
    """[B, X]: means of the columns over problems drawn with replacement, all columns with the same draw.

    Sharing the draw makes every difference of columns a paired one.
    """
    chunks = [weights_BP @ scores_PX for weights_BP in _weights(len(scores_PX), rng, num_resamples, np.float64)]
    return np.concatenate(chunks) / len(scores_PX)


def studentised_bootstrap(
    scores_PX: np.ndarray, *, rng: np.random.Generator, num_resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """[B, X]: the means of `bootstrap_means` for the same rng; [B, X]: their Student's t.

    t = (resampled mean − mean) / (the resampled problems' own standard error), whose law follows that of the t of the
    data more closely than a deviation over a fixed error does: it knows skewness (Hall 1992, The Bootstrap and
    Edgeworth Expansion). Columns are brought to mean 0 and spread 1 first, so that single precision, which halves
    time and memory, costs 1e-7 of a column's own spread. Without spread (or with a NaN) t is 0 and means are the mean.
    """
    num_problems = len(scores_PX)
    mean_X, spread_X = scores_PX.mean(axis=0), scores_PX.std(axis=0)
    unit_PX = _standardised(scores_PX, mean_X, spread_X)
    square_PX = unit_PX**2
    means, ts = [], []
    for weights_BP in _weights(num_problems, rng, num_resamples, np.float32):
        unit_BX = weights_BP @ unit_PX / num_problems
        variance_BX = weights_BP @ square_PX / num_problems - unit_BX**2
        error_BX = np.sqrt(np.maximum(variance_BX, _LEAST_SPREAD**2) / max(num_problems - 1, 1))
        means.append(mean_X + spread_X * unit_BX)
        ts.append(unit_BX / error_BX)
    return np.concatenate(means), np.concatenate(ts)


def _standardised(scores_PX: np.ndarray, mean_X: np.ndarray, spread_X: np.ndarray) -> np.ndarray:
    unit_PX = scores_PX - mean_X
    unit_PX[:, ~(spread_X > 0)] = 0.0  # NaN is not above 0 either
    unit_PX /= np.where(spread_X > 0, spread_X, 1.0)
    return unit_PX.astype(np.float32)


def effective_problems(scores_PX: np.ndarray) -> np.ndarray:
    """[X]: (Σd²)² / Σd⁴ of the deviations d from the mean: how many problems the variation of a column rests on.

    About m where m of many problems differ from the rest, P/3 for normal deviations; 0 without variation.
    """
    squares_PX = (scores_PX - scores_PX.mean(axis=0)) ** 2
    fourth_X = np.einsum("px,px->x", squares_PX, squares_PX)
    return squares_PX.sum(axis=0) ** 2 / np.where(fourth_X > 0, fourth_X, 1.0)


def _weights(
    num_problems: int, rng: np.random.Generator, num_resamples: int, dtype: type[np.floating]
) -> Iterator[np.ndarray]:
    """[≤ _CHUNK, P] at a time: how often each replicate drew each problem."""
    for start in range(0, num_resamples, _CHUNK):
        rows = min(_CHUNK, num_resamples - start)
        drawn = rng.integers(num_problems, size=(rows, num_problems))
        drawn += np.arange(rows)[:, None] * num_problems
        weights = np.bincount(drawn.ravel(), minlength=rows * num_problems)
        yield weights.reshape(rows, num_problems).astype(dtype)
