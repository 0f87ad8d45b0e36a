"""Metrics of counts: against enumeration of all draws, exact fractions, the authors' formulas, and scorio."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import ceil, comb

import numpy as np
import pytest
from evaluated import DIFFICULTY_P, binomial, evaluations
from scipy import stats as scipy_stats

from analysis.statistics.contrasts import contrast_intervals
from analysis.statistics.count_metrics import (
    area_under_curve,
    area_weights,
    cover_at,
    g_pass_at_k,
    mean_g_pass_at_k,
    pass_hat_k,
    solved_sets,
)
from analysis.statistics.passk import KS, pass_at_k


def share_of_draws(num_samples: int, c: int, k: int, least: int) -> float:
    """Of all subsets of k samples, the share with at least so many correct ones."""
    samples = [True] * c + [False] * (num_samples - c)
    subsets = list(combinations(samples, k))
    return sum(sum(subset) >= least for subset in subsets) / len(subsets)


def test_metrics_equal_enumeration_of_all_draws() -> None:
    num_samples, counts = 7, np.arange(8)
    for k in range(1, 8):
        expected = [share_of_draws(num_samples, c, k, k) for c in counts]
        assert pass_hat_k(counts, num_samples, [k])[:, 0] == pytest.approx(expected, abs=1e-14)
        for tau in (0.0, 0.3, 0.5, 0.75, 1.0):
            least = max(1, ceil(Fraction(str(tau)) * k))
            expected = [share_of_draws(num_samples, c, k, least) for c in counts]
            assert g_pass_at_k(counts, num_samples, [k], tau=tau)[:, 0] == pytest.approx(expected, abs=1e-14)
        tails = [[share_of_draws(num_samples, c, k, i) for i in range(ceil(k / 2) + 1, k + 1)] for c in counts]
        expected = [2 / k * sum(row) for row in tails]
        assert mean_g_pass_at_k(counts, num_samples, [k])[:, 0] == pytest.approx(expected, abs=1e-14)


def test_g_pass_equals_the_authors_sum_in_exact_fractions() -> None:
    """Σ_{j ≥ ⌈τk⌉} C(c, j) · C(n−c, k−j) / C(n, k), arXiv 2412.13147, at n = 256."""
    n, k, tau = 256, 16, 0.75
    for c in (0, 5, 100, 200, 256):
        exact = sum(Fraction(comb(c, j) * comb(n - c, k - j), comb(n, k)) for j in range(ceil(tau * k), k + 1))
        assert g_pass_at_k(np.array([c]), n, [k], tau=tau)[0, 0] == pytest.approx(float(exact), abs=1e-13)


def test_the_ends_of_g_pass_are_pass_at_k_and_pass_hat_k() -> None:
    counts, ks = np.arange(33), (1, 4, 32)
    assert g_pass_at_k(counts, 32, ks, tau=0.0) == pytest.approx(pass_at_k(counts, 32, ks), abs=1e-13)
    assert g_pass_at_k(counts, 32, ks, tau=1.0) == pytest.approx(pass_hat_k(counts, 32, ks), abs=1e-13)


def test_a_threshold_is_not_raised_by_rounding() -> None:
    """0.7 · 10 is 7.000000000000001 in floating point, and 0.28 · 25 is 7.000000000000001 too; both mean 7."""
    assert g_pass_at_k(np.array([7]), 10, [10], tau=0.7)[0, 0] == pytest.approx(1.0)
    assert cover_at(np.array([6, 7]), 25, [0.28])[:, 0].tolist() == [0.0, 1.0]


def test_a_perfect_model_scores_less_than_one_at_odd_k() -> None:
    assert mean_g_pass_at_k(np.array([9]), 9, [3, 4, 5])[0] == pytest.approx([2 / 3, 1.0, 4 / 5])


@pytest.mark.parametrize("metric", [pass_hat_k, mean_g_pass_at_k, lambda c, n, ks: g_pass_at_k(c, n, ks, tau=0.5)])
def test_k_above_n_has_no_value(metric: Callable[..., np.ndarray]) -> None:
    scores = metric(np.array([0, 3, 8]), 8, [8, 9])
    assert np.isfinite(scores[:, 0]).all()
    assert np.isnan(scores[:, 1]).all()


def test_what_makes_no_sense_is_refused() -> None:
    for metric in (pass_hat_k, mean_g_pass_at_k, cover_at):
        with pytest.raises(ValueError, match="must lie in 0 … n = 4"):
            metric(np.array([5]), 4, [1])
    with pytest.raises(ValueError, match=r"tau=1\.5: must be a share .* from 0 to 1"):
        g_pass_at_k(np.array([1]), 4, [2], tau=1.5)
    for tau in (28, -1, np.nan):  # 28 per cent, or 7 samples of 25
        with pytest.raises(ValueError, match=f"tau={tau}: must be a share .* from 0 to 1"):
            cover_at(np.array([1]), 25, [0.5, tau])
    for ks in ([4], [4, 2]):
        with pytest.raises(ValueError, match="two or more k in rising order"):
            area_weights(ks)


def test_scorio_agrees() -> None:
    scorio = pytest.importorskip("scorio.eval", reason="scorio, the oracle, is not installed: pip install scorio")
    rng = np.random.default_rng(3)
    results = (rng.random((40, 16)) < rng.random((40, 1))).astype(int)
    counts = results.sum(axis=1)
    for k in (1, 2, 3, 8, 15, 16):
        assert pass_at_k(counts, 16, [k]).mean() == pytest.approx(scorio.pass_at_k(results, k), abs=1e-12)
        assert pass_hat_k(counts, 16, [k]).mean() == pytest.approx(scorio.pass_hat_k(results, k), abs=1e-12)
        assert mean_g_pass_at_k(counts, 16, [k]).mean() == pytest.approx(scorio.mg_pass_at_k(results, k), abs=1e-12)
        for tau in (0.0, 0.25, 0.5, 0.75, 1.0):
            ours = g_pass_at_k(counts, 16, [k], tau=tau).mean()
            assert ours == pytest.approx(scorio.g_pass_at_k_tau(results, k, tau), abs=1e-12)


def test_cover_is_a_share_of_problems() -> None:
    counts = np.array([0, 1, 4, 8])
    cover = cover_at(counts, 8, [0.0, 1 / 8, 0.5, 1.0])
    assert cover.mean(axis=0).tolist() == [1.0, 0.75, 0.5, 0.25]


def test_pass_at_k_is_cover_averaged_with_weight_beta() -> None:
    """1 − (1−p)^k = ∫ 1[p ≥ τ] Beta(τ; 1, k) dτ (arXiv 2510.08325): with n large, c/n stands for p."""
    n, k, taus = 4096, 5, np.linspace(0, 1, 20_001)
    counts = np.array([40, 400, 2000])
    weights = scipy_stats.beta.pdf(taus, 1, k)
    averaged = np.trapezoid(cover_at(counts, n, list(taus)) * weights, taus, axis=1)
    assert averaged == pytest.approx(pass_at_k(counts, n, [k])[:, 0], abs=1e-3)


def test_area_of_curves_that_one_can_see() -> None:
    """A constant curve, a straight line over log2 k, and a step of which half the last interval counts."""
    assert area_under_curve(np.full(9, 0.3), KS) == pytest.approx(0.3)
    assert area_under_curve(np.linspace(0.2, 0.8, 9), KS) == pytest.approx(0.5)
    assert area_under_curve(np.array([0, 0, 1.0]), (1, 2, 8)) == pytest.approx(1 / 3)  # 2 of 3 octaves, half of it
    assert sum(area_weights(KS).values()) == pytest.approx(1.0)


def test_the_area_is_a_contrast_and_so_has_an_interval() -> None:
    ks = (1, 2, 4, 8, 16, 32)
    base, grpo = binomial(DIFFICULTY_P, 1), binomial(DIFFICULTY_P + 1.0, 2)
    weights = area_weights(ks)
    contrast = {"grpo": weights, "base": {k: -weight for k, weight in weights.items()}}
    interval = contrast_intervals(evaluations({"base": base, "grpo": grpo}), [contrast])[0]
    curves = [pass_at_k(counts, 64, ks).mean(axis=0) for counts in (grpo, base)]
    assert interval.estimate == pytest.approx(area_under_curve(curves[0], ks) - area_under_curve(curves[1], ks))
    assert 0 < interval.lo < interval.estimate < interval.hi


def test_any_metric_of_counts_has_an_interval() -> None:
    """A table of scores by count: the estimate is the metric, and its interval that of resampled problems."""
    counts = binomial(DIFFICULTY_P, 1)
    scores = {"hat": pass_hat_k(np.arange(65), 64, [4])[:, 0]}
    interval = contrast_intervals(evaluations({"grpo": counts}), [{"grpo": {"hat": 1.0}}], scores)[0]
    by_problem = pass_hat_k(counts, 64, [4])[:, 0]
    error = by_problem.std(ddof=1) / np.sqrt(200)
    assert interval.estimate == pytest.approx(by_problem.mean())
    assert (interval.hi - interval.lo) / 2 == pytest.approx(1.96 * error, rel=0.1)


def test_gained_and_lost_problems() -> None:
    """Six gained, one lost: exact McNemar is 2 · (C(7, 0) + C(7, 1)) / 2⁷ = 0.125."""
    before = np.array([0] * 6 + [3] * 1 + [2] * 5 + [0] * 4)
    after = np.array([1] * 6 + [0] * 1 + [9] * 5 + [0] * 4)
    sets = solved_sets(after, before)
    assert (sets.gained, sets.lost, sets.both, sets.neither) == (6, 1, 5, 4)
    assert sets.p_value == pytest.approx(0.125)
    turned = solved_sets(before, after)
    assert (turned.gained, turned.lost, turned.p_value) == (1, 6, sets.p_value)
    assert np.isnan(solved_sets(before, before).p_value)
