"""Metrics of counts of correct samples besides Pass@k: pass^k, G-Pass@k, Cover@τ, areas and solved sets.

The mean over problems of a result [P, …] is the metric. Such a metric depends on a problem's count c alone, so
`metric(np.arange(n + 1), n, …)` is the table of scores that contrasts.contrast_intervals takes.
Shapes: K values of k, P problems, n samples a problem, c of them correct, T thresholds τ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from analysis.statistics.intervals import sign_test_p
from analysis.statistics.passk import fail_table


def pass_hat_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """Return pass^k = C(c, k) / C(n, k), [P, K]; NaN where k > n.

    It is the chance that all of k samples drawn without replacement are correct, unbiased for p^k (Yao et al. 2024,
    τ-bench, arXiv 2406.12045), and equals G-Pass@k at τ = 1.
    """
    _check_counts(correct_P, num_samples)
    return fail_table(num_samples, ks)[:, num_samples - correct_P].T


def g_pass_at_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int], *, tau: float) -> np.ndarray:
    """Return G-Pass@k_τ, [P, K]; NaN where k > n.

    It is the chance that at least max(1, ⌈τk⌉) of k samples drawn without replacement are correct: a hypergeometric
    tail (Liu et al. 2024, arXiv 2412.13147). τ = 0 is Pass@k, τ = 1 is pass^k.

    Raises:
        ValueError: τ outside [0, 1].
    """
    _check_share(tau)
    _check_counts(correct_P, num_samples)
    columns = [_tail_probability(correct_P, num_samples, k, max(1, _ceiling(tau * k))) for k in ks]
    return np.stack(columns, axis=1)


def mean_g_pass_at_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """Return mG-Pass@k = (2/k) Σ_{i = ⌈k/2⌉+1}^{k} P(at least i of k correct), [P, K]; NaN where k > n.

    It is the mean of G-Pass@k_τ over τ in [0.5, 1] as its authors sum it (arXiv 2412.13147). With odd k the sum has
    (k − 1)/2 terms, so a perfect model scores (k − 1)/k: compare values of one k only.
    """
    _check_counts(correct_P, num_samples)
    columns = []
    for k in ks:
        tails = [_tail_probability(correct_P, num_samples, k, i) for i in range(_ceiling(k / 2) + 1, k + 1)]
        columns.append(2 / k * np.sum(tails, axis=0) if tails else np.zeros(len(correct_P)))
    return np.where(np.asarray(ks) > num_samples, np.nan, np.stack(columns, axis=1))


def cover_at(correct_P: np.ndarray, num_samples: int, taus: Sequence[float]) -> np.ndarray:
    """Return 1 where at least a share τ of a problem's n samples is correct, else 0, [P, T].

    The mean over problems is Cover@τ (arXiv 2510.08325); Pass@k is its average over τ with weight Beta(1, k). The
    share c/n estimates p, so with small n some problems with p near τ fall on the wrong side: report n beside it.

    Raises:
        ValueError: a τ outside [0, 1].
    """
    for tau in taus:
        _check_share(tau)
    _check_counts(correct_P, num_samples)
    least_T = np.array([_ceiling(tau * num_samples) for tau in taus])
    return (correct_P[:, None] >= least_T).astype(np.float64)


def area_weights(ks: Sequence[int]) -> dict[int, float]:
    """Return k → weight of Pass@k in the area under its curve over log2 k, for use in a contrast.

    The trapezoid rule gives the weights. They sum to 1, so the area is a weighted mean of Pass@k.

    Raises:
        ValueError: fewer than two k, or k not in rising order.
    """
    at_K = np.log2(np.asarray(ks, dtype=np.float64))
    width_K = np.diff(at_K)
    if len(ks) < 2 or (width_K <= 0).any():
        raise ValueError(f"ks={list(ks)}: an area needs two or more k in rising order")
    weights_K = (np.append(width_K, 0.0) + np.append(0.0, width_K)) / 2 / (at_K[-1] - at_K[0])
    return {int(k): float(weight) for k, weight in zip(ks, weights_K, strict=True)}


def area_under_curve(pass_K: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Return the areas under curves of Pass@k [..., K] over log2 k, as a share of the axis, [...]."""
    return np.asarray(pass_K) @ np.array(list(area_weights(ks).values()))


@dataclass(frozen=True)
class SolvedSets:
    """Numbers of problems that two models solve at least once in n samples.

    p_value is that of the exact two-sided McNemar test. Null hypothesis: a problem that only one model solves is as
    likely gained as lost. It is NaN where no problem is gained or lost. A problem that both models solve
    rarely may be gained or lost by chance alone.
    """

    both: int
    gained: int
    lost: int
    neither: int
    p_value: float


def solved_sets(correct_P: np.ndarray, reference_P: np.ndarray) -> SolvedSets:
    """Return the problems that a model gains and loses against a reference with the same n."""
    solved_P, before_P = correct_P > 0, reference_P > 0
    gained, lost = int((solved_P & ~before_P).sum()), int((~solved_P & before_P).sum())
    return SolvedSets(
        both=int((solved_P & before_P).sum()),
        gained=gained,
        lost=lost,
        neither=int((~solved_P & ~before_P).sum()),
        p_value=sign_test_p(gained, lost) if gained + lost else math.nan,
    )


def _tail_probability(correct_P: np.ndarray, num_samples: int, k: int, least: int) -> np.ndarray:
    """Return the chance that `least` or more of k samples drawn without replacement are correct, [P]; NaN if k > n."""
    if k > num_samples:
        return np.full(len(correct_P), np.nan)
    tail_N = scipy_stats.hypergeom.sf(least - 1, num_samples, np.arange(num_samples + 1), k)
    return tail_N[correct_P]


def _ceiling(value: float) -> int:
    """Return ⌈value⌉ without rounding error: 0.7 · 10 = 7.000000000000001 gives 7."""
    return math.ceil(round(value, 9))


def _check_share(tau: float) -> None:
    if not 0 <= tau <= 1:
        raise ValueError(f"tau={tau}: must be a share of the samples, from 0 to 1")


def _check_counts(correct_P: np.ndarray, num_samples: int) -> None:
    if correct_P.min() < 0 or correct_P.max() > num_samples:
        raise ValueError(f"counts of correct samples must lie in 0 … n = {num_samples}")
