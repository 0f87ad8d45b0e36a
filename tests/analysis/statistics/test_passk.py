"""The Pass@k estimator, its variance and its bootstrap, against exact arithmetic and enumeration."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest

from analysis.statistics.passk import KS, effective_problems, fail_table, pass_at_k, within_problem_covariance


@pytest.mark.parametrize(("num_samples", "tolerance"), [(1, 0), (7, 1e-15), (256, 1e-15), (1024, 4e-15)])
def test_table_equals_exact_rationals(num_samples: int, tolerance: float) -> None:
    """fail(c) = C(n−c, k) / C(n, k), in exact fractions, at every c."""
    ks = [k for k in (1, 2, 3, 5, 64, 256, num_samples) if k <= num_samples]
    table = fail_table(num_samples, ks)
    for row, k in zip(table, ks, strict=True):
        exact = [float(Fraction(comb(num_samples - c, k), comb(num_samples, k))) for c in range(num_samples + 1)]
        assert np.abs(row - exact).max() <= tolerance


def test_estimator_equals_enumeration_of_all_draws() -> None:
    """Pass@k is the share of the C(n, k) subsets of the samples that hold a correct one."""
    num_samples = 6
    for c in range(num_samples + 1):
        samples = [True] * c + [False] * (num_samples - c)
        for k in range(1, num_samples + 1):
            subsets = list(combinations(samples, k))
            expected = sum(map(any, subsets)) / len(subsets)
            assert pass_at_k(np.array([c]), num_samples, [k])[0, 0] == pytest.approx(expected, abs=1e-15)


def test_estimator_equals_the_authors_product_form() -> None:
    """1 − ∏_{i=n−c+1}^{n} (1 − k/i), 1 where n − c < k: the form in the authors' evaluation script."""
    num_samples = 256
    for c in (0, 1, 3, 100, 255, 256):
        ours = pass_at_k(np.array([c]), num_samples, KS)[0]
        for k, value in zip(KS, ours, strict=True):
            product = np.prod(1.0 - k / np.arange(num_samples - c + 1, num_samples + 1))
            expected = 1.0 if num_samples - c < k else 1.0 - product
            assert value == pytest.approx(expected, abs=1e-13)


def test_k_above_n_has_no_value() -> None:
    scores = pass_at_k(np.array([0, 3, 8]), 8, [4, 8, 9])
    assert np.isnan(scores[:, 2]).all()
    assert not np.isnan(scores[:, :2]).any()
    assert scores[:, 1].tolist() == [0.0, 1.0, 1.0]  # k = n: whether any is correct


def test_counts_outside_the_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="must lie in 0 … n = 4"):
        pass_at_k(np.array([5]), 4, [1])
    with pytest.raises(ValueError, match="n ≥ 1 and k ≥ 1"):
        fail_table(4, [0])


@pytest.mark.parametrize("p", [0.1, 0.5, 0.83])
@pytest.mark.parametrize(("j", "k"), [(1, 1), (2, 2), (4, 4), (1, 3), (2, 5)])
def test_within_problem_covariance_is_unbiased(p: float, j: int, k: int) -> None:
    """Its mean over the binomial law of c is the true covariance of the two estimators, computed from that law."""
    num_samples = 8
    c = np.arange(num_samples + 1)
    law = np.array([comb(num_samples, i) * p**i * (1 - p) ** (num_samples - i) for i in c])
    pass_j, pass_k = pass_at_k(c, num_samples, [j, k]).T
    true = law @ (pass_j * pass_k) - (law @ pass_j) * (law @ pass_k)
    assert law @ within_problem_covariance(c, num_samples, j, k) == pytest.approx(true, abs=1e-14)


def test_within_problem_variance_needs_twice_k_samples() -> None:
    counts = np.array([0, 3, 8])
    assert not np.isnan(within_problem_covariance(counts, 8, 4, 4)).any()
    assert np.isnan(within_problem_covariance(counts, 8, 5, 5)).all()


def test_effective_problems_count_those_that_vary() -> None:
    few = np.zeros(1000)
    few[:7] = 0.5
    assert effective_problems(few) == pytest.approx(7)
    assert effective_problems(np.random.default_rng(0).normal(size=1000)) == pytest.approx(1000 / 3, rel=0.15)
    assert effective_problems(np.zeros(4)) == 0
