"""Several seeds together: aggregates against their definitions, power against the noncentral t."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from evaluated import DIFFICULTY_P, binomial, evaluations
from scipy import stats as scipy_stats

from analysis.io.parquet import FrameError
from analysis.statistics.evaluations import ALL_ABOVE, NO_SPREAD
from analysis.statistics.intervals import t_interval
from analysis.statistics.seeds import (
    MAX_SEEDS,
    Spread,
    interquartile_mean,
    power_by_seeds,
    probability_of_improvement,
    recorded_spread,
    seed_scores,
    seeds_needed,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


SCORES_SM = np.random.default_rng(1).normal([0.2, 0.5, 0.7], 0.03, (5, 3))


def test_interquartile_mean_drops_a_quarter_of_the_cells_at_each_end() -> None:
    """15 cells: three are dropped at each end."""
    interval = interquartile_mean(SCORES_SM, rng=rng())
    assert interval.estimate == pytest.approx(np.sort(SCORES_SM.ravel())[3:-3].mean())
    assert interval.lo < interval.estimate < interval.hi
    assert interval.num_seeds == 5


def test_with_one_benchmark_and_three_seeds_it_is_the_mean_with_students_interval() -> None:
    """Three cells: nothing is dropped, so the interval is Student's but for the noise of resampling."""
    scores = np.array([[0.30], [0.34], [0.41]])
    interval = interquartile_mean(scores, rng=rng())
    assert (interval.estimate, interval.lo, interval.hi) == pytest.approx(t_interval(scores[:, 0]), rel=0.03)


def test_benchmarks_that_share_their_seeds_error_do_not_narrow_the_interval() -> None:
    """Seed effects shared by all benchmarks: 20 benchmarks tell no more than one."""
    effect_S1 = np.random.default_rng(2).normal(0, 0.05, (5, 1))
    one, twenty = (interquartile_mean(np.repeat(effect_S1, m, axis=1), rng=rng()) for m in (1, 20))
    assert twenty.hi - twenty.lo > 0.7 * (one.hi - one.lo)


def test_probability_of_improvement_is_mann_whitneys_share() -> None:
    theirs = np.random.default_rng(3).normal([0.2, 0.47, 0.7], 0.03, (4, 3))
    expected = [
        scipy_stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)) for a, b in zip(SCORES_SM.T, theirs.T, strict=True)
    ]
    interval = probability_of_improvement(SCORES_SM, theirs, rng=rng())
    assert interval.estimate == pytest.approx(np.mean(expected))
    assert 0 < interval.lo < interval.estimate < interval.hi < 1
    turned = probability_of_improvement(theirs, SCORES_SM, rng=rng())
    assert turned.estimate == pytest.approx(1 - interval.estimate)
    assert probability_of_improvement(SCORES_SM, SCORES_SM, rng=rng()).estimate == pytest.approx(0.5)


def test_many_seeds_take_little_memory() -> None:
    ours_SM, theirs_SM = rng().normal(size=(2, 20, 4))
    tracemalloc.start()
    probability_of_improvement(ours_SM, theirs_SM, rng=rng())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10e6  # all pairs of 2000 resamples: 2000 · 20 · 20 · 4 · 8 bytes = 26 MB


def test_a_tie_but_for_rounding_is_a_tie() -> None:
    """The same counts in another order of problems have means that differ in the last bit."""
    scores = np.array([[0.1 + 0.2], [0.4], [0.5]])
    same = np.array([[0.3], [0.4], [0.5]])
    assert (scores != same).any()
    assert probability_of_improvement(scores, same, rng=rng()).estimate == 0.5


def test_ever_better_has_no_interval() -> None:
    interval = probability_of_improvement(SCORES_SM + 1, SCORES_SM, rng=rng())
    assert (interval.estimate, interval.method) == (1.0, ALL_ABOVE)
    assert np.isnan([interval.lo, interval.hi]).all()
    assert probability_of_improvement(SCORES_SM, SCORES_SM + 1, rng=rng()).method == ALL_ABOVE


def test_runs_that_are_all_alike_have_no_spread() -> None:
    alike = np.full((3, 2), 0.5)
    interval = probability_of_improvement(alike, alike, rng=rng())
    assert (interval.estimate, interval.method) == (0.5, NO_SPREAD)
    assert np.isnan([interval.lo, interval.hi]).all()


def test_one_seed_is_refused_with_the_reason() -> None:
    for refuse in (
        lambda: interquartile_mean(SCORES_SM[:1], rng=rng()),
        lambda: probability_of_improvement(SCORES_SM, SCORES_SM[:1], rng=rng()),
        lambda: recorded_spread(np.array([0.4]), np.array([0.4, 0.5])),
    ):
        with pytest.raises(FrameError, match=r"one seed shows no spread between seeds, .* run two or more"):
            refuse()
    with pytest.raises(FrameError, match="all recorded seeds have one score"):
        recorded_spread(np.array([0.4, 0.4]), np.array([0.5, 0.5]))


def test_scores_are_taken_of_seeds_that_have_all_benchmarks() -> None:
    first = evaluations({"grpo": np.stack([binomial(DIFFICULTY_P, s) for s in range(3)])})
    second = evaluations({"grpo": np.stack([binomial(DIFFICULTY_P + 1, s) for s in range(2)])})
    scores_SM, seeds = seed_scores([first, second], "grpo", 1)
    assert seeds == (0, 1)
    assert scores_SM[1] == pytest.approx([(e.correct["grpo"][1] / 64).mean() for e in (first, second)])
    with pytest.raises(FrameError, match="a_grae: no seed is evaluated on all of bench, bench"):
        seed_scores([first, second], "a_grae", 1)


def paired_power(effect: float, num_seeds: np.ndarray) -> np.ndarray:
    """Of the paired t test at 5 % with differences of deviation 1: the noncentral t."""
    df, centre = num_seeds - 1, effect * np.sqrt(num_seeds)
    critical = scipy_stats.t.isf(0.025, df)
    return scipy_stats.nct.sf(critical, df, centre) + scipy_stats.nct.cdf(-critical, df, centre)


def test_simulated_power_is_the_noncentral_ts() -> None:
    """Binomial error of 4,000 experiments: at most 0.8 points, so 3 points are almost 4 of it."""
    num_seeds = np.array([2, 3, 5, 10, 20])
    for effect in (0.0, 0.8, -1.5):
        ours = power_by_seeds(effect, [1.0], num_seeds, seed=0)
        assert ours == pytest.approx(paired_power(effect, num_seeds), abs=0.03)


def test_two_arms_of_one_deviation_have_the_power_of_the_t_test() -> None:
    df, centre = 2 * 8 - 2, 1.2 * np.sqrt(8 / 2)
    critical = scipy_stats.t.isf(0.025, df)
    expected = scipy_stats.nct.sf(critical, df, centre) + scipy_stats.nct.cdf(-critical, df, centre)
    assert power_by_seeds(1.2, [1.0, 1.0], [8], seed=0)[0] == pytest.approx(expected, abs=0.03)


def test_seeds_needed_are_the_fewest_with_the_power() -> None:
    needed = seeds_needed(1.0, Spread((1.0,), 0.6, 2.9), seed=0)
    exact = next(s for s in range(2, 100) if paired_power(1.0, np.array([s]))[0] >= 0.8)
    assert abs(needed.seeds - exact) <= 1
    assert needed.lo < needed.seeds < needed.hi
    assert seeds_needed(1.0, Spread((1.0,), 0.6, 2.9), power=0.95, seed=0).seeds > needed.seeds


def test_no_effect_needs_more_seeds_than_anyone_has() -> None:
    needed = seeds_needed(0.0, Spread((1.0, 1.0), 0.6, 2.9), seed=0)
    assert np.isinf(needed.seeds)
    assert MAX_SEEDS == 1000


def test_the_spreads_interval_is_that_of_a_variance() -> None:
    """Ten paired differences: σ lies within s·√(9/χ²), factors 0.69 and 1.83."""
    spread = recorded_spread(np.random.default_rng(4).normal(0, 0.1, 10))
    assert (spread.lo, spread.hi) == pytest.approx((0.688, 1.826), abs=2e-3)
    two = recorded_spread(np.array([0.1, 0.2, 0.4]), np.array([0.3, 0.35, 0.1]))
    assert len(two.deviations) == 2
    assert two.lo < 1 < two.hi
