"""Bands and corrections: against quantiles and corrections that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.multiplicity import BONFERRONI, MIN_P, benjamini_hochberg, holm, max_t_bands, seed_bands
from analysis.stats import welch


def widths(t_BX: np.ndarray, **options: float) -> np.ndarray:
    lo_X, hi_X = max_t_bands(np.zeros(t_BX.shape[1]), np.ones(t_BX.shape[1]), t_BX, **options)
    assert lo_X == pytest.approx(-hi_X)
    return hi_X


def test_one_cell_has_the_pointwise_width_and_independent_cells_sidaks() -> None:
    t_BX = np.random.default_rng(0).normal(size=(40_000, 10))
    assert widths(t_BX[:, :1]) == pytest.approx(1.96, abs=0.03)
    sidak = scipy_stats.norm.isf((1 - 0.95 ** (1 / 10)) / 2)  # 2.80
    assert widths(t_BX) == pytest.approx(sidak, abs=0.03)
    assert widths(t_BX, level=0.5)[0] < sidak


def test_cells_that_move_together_cost_nothing() -> None:
    t_BX = np.repeat(np.random.default_rng(0).normal(size=(40_000, 1)), 9, axis=1)
    assert widths(t_BX) == pytest.approx(1.96, abs=0.03)


def test_bands_are_centred_on_estimates_and_scaled_by_errors() -> None:
    t_BX = np.random.default_rng(1).normal(size=(1000, 2))
    lo_X, hi_X = max_t_bands(np.array([0.2, 0.5]), np.array([0.1, 0.3]), t_BX)
    assert (lo_X + hi_X) / 2 == pytest.approx([0.2, 0.5])
    assert (hi_X - lo_X)[1] == pytest.approx(3 * (hi_X - lo_X)[0])


def test_a_cell_without_an_error_is_no_part_of_the_family() -> None:
    t_BX = np.random.default_rng(1).normal(size=(1000, 3))
    t_BX[:, 1] *= 100
    lo_X, hi_X = max_t_bands(np.zeros(3), np.array([1.0, np.nan, 1.0]), t_BX)
    assert np.isnan([lo_X[1], hi_X[1]]).all()
    assert hi_X[0] == pytest.approx(widths(t_BX[:, [0, 2]])[0])
    assert np.isnan(max_t_bands(np.zeros(3), np.full(3, np.nan), t_BX)).all()


def half_widths(groups: list[np.ndarray], **options: float) -> np.ndarray:
    """In units of each cell's standard error."""
    half_X, _ = seed_bands(groups, rng=np.random.default_rng(0), **options)
    return half_X / np.sqrt(welch(groups, **options)[1])


def test_one_cell_over_seeds_has_its_t_interval() -> None:
    group = np.random.default_rng(2).normal(size=(6, 1))
    assert half_widths([group]) == pytest.approx(scipy_stats.t.isf(0.025, 5), rel=0.06)


def test_k_of_one_curve_cost_little_and_independent_arms_cost_sidaks() -> None:
    rng = np.random.default_rng(3)
    together = np.repeat(rng.normal(size=(6, 1)), 9, axis=1) * np.arange(1, 10)
    assert half_widths([together]) == pytest.approx(scipy_stats.t.isf(0.025, 5), rel=0.06)
    arms = [np.zeros((6, 4)) for _ in range(4)]
    for x, arm in enumerate(arms):
        arm[:, x] = rng.normal(size=6)
    sidak = scipy_stats.t.isf((1 - 0.95 ** (1 / 4)) / 2, 5)
    assert half_widths(arms) == pytest.approx(sidak, rel=0.06)


def test_few_seeds_take_bonferroni() -> None:
    groups = [np.random.default_rng(4).normal(size=(3, 9))]
    half_X, method = seed_bands(groups, rng=np.random.default_rng(0))
    assert method == BONFERRONI
    expected = scipy_stats.t.isf(0.025 / 9, 2) * groups[0].std(axis=0, ddof=1) / np.sqrt(3)
    assert half_X == pytest.approx(expected)
    assert seed_bands([np.random.default_rng(4).normal(size=(4, 9))], rng=np.random.default_rng(0))[1] == MIN_P


def test_cells_alike_over_seeds_have_no_band() -> None:
    group = np.random.default_rng(5).normal(size=(5, 3))
    group[:, 1] = 0.4
    half_X, _ = seed_bands([group], rng=np.random.default_rng(0))
    assert np.isnan(half_X).tolist() == [False, True, False]
    assert np.isnan(seed_bands([np.ones((5, 2))], rng=np.random.default_rng(0))[0]).all()


def test_an_error_known_otherwise_widens_the_band() -> None:
    group = np.random.default_rng(6).normal(size=(5, 3))
    plain, _ = seed_bands([group], rng=np.random.default_rng(0))
    more, _ = seed_bands([group], extra_variance=np.array([0.0, 1.0, 0.0]), rng=np.random.default_rng(0))
    assert more[1] > plain[1]


def test_holm_and_benjamini_hochberg_on_a_known_case() -> None:
    """Sorted p: .005 .01 .03 .04. Holm: 4·.005, 3·.01, 2·.03, max with 1·.04. BH: from the top, p · 4 / rank."""
    p_values = [0.01, 0.04, 0.03, 0.005]
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg(p_values) == pytest.approx([0.02, 0.04, 0.04, 0.02])


def test_corrections_leave_out_what_was_not_tested_and_stay_at_most_one() -> None:
    for adjust in (holm, benjamini_hochberg):
        adjusted = adjust([np.nan, 0.02, 0.9, 0.8])
        assert np.isnan(adjusted[0])
        assert adjusted[1:] == pytest.approx(adjust([0.02, 0.9, 0.8]))
        assert np.nanmax(adjusted) <= 1.0
        assert np.isnan(adjust([np.nan])).all()
        assert adjust([]).size == 0


def test_holm_keeps_the_family_wise_error_rate() -> None:
    """20 hypotheses, all true: some p below 5 % in 64 % of the experiments, some Holm-adjusted one in 5 %."""
    p_values = np.random.default_rng(7).random((2000, 20))
    assert (p_values.min(axis=1) < 0.05).mean() > 0.5
    assert np.mean([holm(row).min() < 0.05 for row in p_values]) == pytest.approx(0.05, abs=0.015)
