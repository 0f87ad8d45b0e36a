"""Bands and corrections: against quantiles and corrections that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from analysis.statistics.multiplicity import benjamini_hochberg, holm, simultaneous_share


def share(factors_RX: np.ndarray, **options: float) -> float:
    return simultaneous_share(factors_RX, rng=np.random.default_rng(0), num_draws=40_000, **options)


def test_one_cell_has_the_pointwise_share_and_independent_cells_sidaks() -> None:
    assert share(np.array([[0.3]])) == pytest.approx(0.05, abs=0.002)
    assert share(np.diag([0.1, 1.0, 5.0, 0.2])) == pytest.approx(1 - 0.95 ** (1 / 4), rel=0.06)
    assert share(np.eye(4), level=0.5) == pytest.approx(1 - 0.5 ** (1 / 4), rel=0.03)


def test_cells_that_move_together_cost_nothing() -> None:
    assert share(np.ones((3, 9)) * np.arange(1, 10)) == pytest.approx(0.05, abs=0.002)


def test_a_share_is_never_above_the_pointwise_one() -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert simultaneous_share(np.ones((2, 2)), rng=rng, num_draws=100) <= 1 - 0.95


def test_correlated_cells_lie_between_both() -> None:
    rho = 0.8
    factors = np.array([[1.0, rho], [0.0, np.sqrt(1 - rho**2)]])
    found = share(factors)
    assert 0.025 < found < 0.05
    draws = np.random.default_rng(1).standard_normal((200_000, 2)) @ factors
    critical = scipy_stats.norm.isf(found / 2)
    assert (np.abs(draws).max(axis=1) <= critical).mean() == pytest.approx(0.95, abs=0.004)


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
