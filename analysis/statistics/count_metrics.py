"""What else than Pass@k the counts of correct samples say. Functions of counts; pure numpy and SciPy.

Where a result is [P, …], its mean over problems is the metric, and its columns are what contrasts.py takes. Every
such metric depends on the data through c alone, so `metric(np.arange(n + 1), n, …)` is the table of scores that
contrasts.contrast_intervals takes.
Shapes: K values of k, P problems, n samples a problem, c of them correct, T thresholds τ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from analysis.statistics.passk import fail_table


def pass_hat_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """[P, K]: pass^k, C(c, k) / C(n, k): all of k samples drawn without replacement are correct; NaN where k > n.

    Unbiased for p^k (Yao et al. 2024, τ-bench, arXiv 2406.12045). It is Pass@k's failure with right and wrong
    exchanged, and G-Pass@k at τ = 1.
    """
    _check(correct_P, num_samples)
    return fail_table(num_samples, ks)[:, num_samples - correct_P].T


def g_pass_at_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int], *, tau: float) -> np.ndarray:
    """[P, K]: G-Pass@k_τ: at least max(1, ⌈τk⌉) of k samples drawn without replacement are correct; NaN where k > n.

    A hypergeometric tail (Liu et al. 2024, arXiv 2412.13147). τ = 0 is Pass@k, τ = 1 is pass^k.

    Raises:
        ValueError: τ outside [0, 1].
    """
    if not 0 <= tau <= 1:
        raise ValueError(f"τ is a share of the samples, from 0 to 1; got {tau}")
    _check(correct_P, num_samples)
    columns = [_at_least(correct_P, num_samples, k, max(1, _ceil(tau * k))) for k in ks]
    return np.stack(columns, axis=1)


def mean_g_pass_at_k(correct_P: np.ndarray, num_samples: int, ks: Sequence[int]) -> np.ndarray:
    """[P, K]: mG-Pass@k, (2/k) Σ_{i = ⌈k/2⌉+1}^{k} P(at least i of k correct); NaN where k > n.

    The mean of G-Pass@k_τ over τ in [0.5, 1] as its authors sum it (arXiv 2412.13147): with odd k the sum has
    (k − 1)/2 terms, so that a perfect model scores (k − 1)/k. Compare it at one k only.
    """
    _check(correct_P, num_samples)
    columns = []
    for k in ks:
        tails = [_at_least(correct_P, num_samples, k, i) for i in range(_ceil(k / 2) + 1, k + 1)]
        columns.append(2 / k * np.sum(tails, axis=0) if tails else np.zeros(len(correct_P)))
    return np.where(np.asarray(ks) > num_samples, np.nan, np.stack(columns, axis=1))


def cover_at(correct_P: np.ndarray, num_samples: int, taus: Sequence[float]) -> np.ndarray:
    """[P, T]: 1 where a problem is solved in at least a share τ of the n samples, else 0: a performance profile.

    Its mean is Cover@τ (arXiv 2510.08325), of which Pass@k is the average with weight Beta(1, k) over τ. The share
    c/n stands for the unknown p, so at small n problems with p near τ are counted on either side: name n beside it.
    """
    _check(correct_P, num_samples)
    least_T = np.array([_ceil(tau * num_samples) for tau in taus])
    return (correct_P[:, None] >= least_T).astype(np.float64)


def area_weights(ks: Sequence[int]) -> dict[int, float]:
    """k → weight of Pass@k in the area under its curve over log2 k, as a share of the axis: a contrast's weights.

    By the trapezoid rule; the weights sum to 1, so the area is a weighted mean of Pass@k, between 0 and 1.

    Raises:
        ValueError: fewer than two k, or not in rising order.
    """
    at_K = np.log2(np.asarray(ks, dtype=np.float64))
    width_K = np.diff(at_K)
    if len(ks) < 2 or (width_K <= 0).any():
        raise ValueError(f"an area needs two or more k in rising order; got {list(ks)}")
    weights_K = (np.append(width_K, 0.0) + np.append(0.0, width_K)) / 2 / (at_K[-1] - at_K[0])
    return {int(k): float(weight) for k, weight in zip(ks, weights_K, strict=True)}


def area_under_curve(pass_K: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """[...]: the area under curves [..., K] of Pass@k over log2 k, as a share of the axis."""
    return np.asarray(pass_K) @ np.array(list(area_weights(ks).values()))


@dataclass(frozen=True)
class SolvedSets:
    """Problems solved at least once in n samples, by two models. p_value: exact McNemar, two-sided; NaN without change.

    Of the gained + lost discordant problems each is as likely to be either, if neither model solves more problems
    like these; where both solve a problem rarely, chance alone puts it among the discordant ones.
    """

    both: int
    gained: int
    lost: int
    neither: int
    p_value: float


def solved_sets(correct_P: np.ndarray, reference_P: np.ndarray) -> SolvedSets:
    """Problems that a model gained and lost against the reference (the base, say), both with the same n."""
    solved_P, before_P = correct_P > 0, reference_P > 0
    gained, lost = int((solved_P & ~before_P).sum()), int((~solved_P & before_P).sum())
    discordant = gained + lost
    return SolvedSets(
        both=int((solved_P & before_P).sum()),
        gained=gained,
        lost=lost,
        neither=int((~solved_P & ~before_P).sum()),
        p_value=float(scipy_stats.binomtest(gained, discordant).pvalue) if discordant else math.nan,
    )


def _at_least(correct_P: np.ndarray, num_samples: int, k: int, least: int) -> np.ndarray:
    """[P]: chance that `least` or more of k samples drawn without replacement are correct; NaN where k > n."""
    if k > num_samples:
        return np.full(len(correct_P), np.nan)
    tail_N = scipy_stats.hypergeom.sf(least - 1, num_samples, np.arange(num_samples + 1), k)
    return tail_N[correct_P]


def _ceil(value: float) -> int:
    """⌈value⌉, where 0.7 · 10 = 7.000000000000001 is 7."""
    return math.ceil(round(value, 9))


def _check(correct_P: np.ndarray, num_samples: int) -> None:
    if correct_P.min() < 0 or correct_P.max() > num_samples:
        raise ValueError(f"counts of correct samples must lie in 0 … n = {num_samples}")
