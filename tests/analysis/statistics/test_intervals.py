"""Intervals: against SciPy where it has them, against simulation where not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.statistics.intervals import (
    Interval,
    block_interval,
    long_run_variance,
    sign_test_p,
    t_interval,
    t_p_value,
    welch,
    welch_interval,
    wilson_interval,
)


def test_one_group_is_students_interval() -> None:
    values = np.array([0.31, 0.36, 0.29, 0.40])
    expected = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    estimate, lo, hi = t_interval(values)
    assert estimate == pytest.approx(values.mean())
    assert (lo, hi) == pytest.approx((expected.low, expected.high))


def test_two_groups_are_welchs_interval() -> None:
    a, b = np.array([0.5, 0.6, 0.55]), np.array([0.2, 0.5, 0.3, 0.35])
    expected = scipy_stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert welch_interval([a, -b])[1:] == pytest.approx((expected.low, expected.high))


def test_welch_of_many_sums_at_once_and_its_p_are_scipys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 0.1, (4, 3)), rng.normal(0.4, 0.3, (6, 3))
    estimate, variance, df = welch([a, -b])
    expected = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert estimate == pytest.approx(a.mean(axis=0) - b.mean(axis=0))
    assert df == pytest.approx(expected.df)
    assert t_p_value(estimate, variance, df) == pytest.approx(expected.pvalue)


def test_a_sum_without_spread_has_no_variance_among_others_that_have() -> None:
    a = np.array([[0.5, 0.1], [0.5, 0.3]])
    _, variance, df = welch([a])
    assert np.isnan([variance[0], df[0]]).all()
    assert np.isfinite([variance[1], df[1]]).all()
    assert np.isnan(welch([a[:1], a])[1]).all()


@pytest.mark.parametrize(("num_seeds", "warned"), [(1, False), (2, True), (4, True), (5, False)])
def test_few_seeds_are_warned_of(num_seeds: int, warned: bool) -> None:
    assert bool(Interval(0.1, 0.0, 0.2, "t", "the method", num_seeds).caution) == warned


@pytest.mark.parametrize("values", [[0.4], [0.4, 0.4, 0.4]])
def test_one_value_or_no_spread_gives_no_interval(values: list[float]) -> None:
    estimate, lo, hi = t_interval(np.array(values))
    assert estimate == pytest.approx(0.4)
    assert np.isnan([lo, hi]).all()


def test_wilson_is_scipys() -> None:
    for successes in (0, 3, 40):
        expected = scipy_stats.binomtest(successes, 40).proportion_ci(method="wilson")
        assert wilson_interval(successes, 40) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_wilsons_bounds_enclose_the_share(share: float) -> None:
    for trials in range(2, 101, 2):
        lo, hi = wilson_interval(share * trials, trials)
        assert 0 <= lo <= share <= hi <= 1, trials


def window_difference(num_steps: int) -> np.ndarray:
    """Weights of the mean of the last third minus that of the first."""
    third = num_steps // 3
    weights = np.zeros(num_steps)
    weights[:third], weights[-third:] = -1 / third, 1 / third
    return weights


def test_block_interval_covers_for_dependent_steps_where_the_naive_one_does_not() -> None:
    """AR(1) with coefficient 0.5 around a straight line, 60 steps."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1000, 100))
    series = np.zeros_like(noise)
    for t in range(1, 100):
        series[:, t] = 0.5 * series[:, t - 1] + noise[:, t]
    line, weights = np.linspace(3.0, 0.0, 60), window_difference(60)
    hits = naive = 0
    for run in series[:, 40:]:
        _, lo, hi = block_interval(run + line, weights)
        hits += lo < weights @ line < hi
        _, lo, hi = welch_interval([run[-20:], -run[:20]])
        naive += lo < 0 < hi
    assert 0.93 < hits / 1000 < 0.99
    assert naive / 1000 < 0.85


def test_the_course_of_a_run_is_not_noise() -> None:
    noise, x = np.random.default_rng(3).normal(size=60), np.linspace(-1, 1, 60)
    assert long_run_variance(noise + 5.0 * x**3 - 2.0 * x) == pytest.approx(long_run_variance(noise))


def test_noise_without_dependence_has_its_own_variance() -> None:
    variances = [long_run_variance(noise)[0] for noise in np.random.default_rng(4).normal(size=(200, 400))]
    assert np.mean(variances) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("series", [np.ones(60), np.arange(16.0)])
def test_a_constant_or_short_series_gives_no_interval(series: np.ndarray) -> None:
    estimate, lo, hi = block_interval(series, window_difference(len(series)))
    assert np.isfinite(estimate)
    assert np.isnan([lo, hi]).all()


@pytest.mark.parametrize(("above", "below"), [(0, 0), (0, 6), (3, 3), (17, 4), (2, 190), (256, 250)])
def test_the_sign_test_is_scipys_binomial_test(above: int, below: int) -> None:
    expected = scipy_stats.binomtest(above, above + below).pvalue if above + below else 1.0
    assert sign_test_p(above, below) == pytest.approx(expected, rel=1e-9)
