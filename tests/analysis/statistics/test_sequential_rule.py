"""Sequential rule over seeds: its levels by simulation, its first look in closed form, its decisions by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.sequential import (
    BETTER,
    OPEN,
    SMALLER,
    UNDECIDED,
    WORSE,
    Rule,
    critical_values,
    judge,
    spent,
)

LOOKS = (3, 5, 8, 12)


@pytest.mark.parametrize(("looks", "level"), [(LOOKS, 0.05), ((4, 6), 0.05), ((3, 5, 8, 12, 16), 0.0125)])
def test_the_first_critical_value_of_normal_differences_is_students(looks, level):
    first = critical_values(looks, level, skewed=False)[0]
    exact = stats.t.ppf(1 - spent(looks[0] / looks[-1], level) / 2, looks[0] - 1)
    assert first == pytest.approx(exact, rel=0.08)  # 400,000 paths know a quantile of the tail of 2 df to this


def test_a_single_look_is_the_t_test():
    assert critical_values((10,), 0.05, skewed=False)[0] == pytest.approx(stats.t.ppf(0.975, 9), rel=0.01)


def test_skewness_widens_every_look_and_more_comparisons_do_too():
    skewed, normal = critical_values(LOOKS, 0.05), critical_values(LOOKS, 0.05, skewed=False)
    assert all(wide > narrow for wide, narrow in zip(skewed, normal, strict=True))
    several = Rule(LOOKS, 0.01, num_comparisons=4).critical_values
    assert all(wide > narrow for wide, narrow in zip(several, skewed, strict=True))


def test_a_look_without_enough_error_to_spend_cannot_decide():
    values = critical_values((3, 60), 0.01)
    assert values[0] == math.inf
    assert values[1] < 4
    judged = judge([0.1, 0.11, 0.12], Rule((3, 60), 0.01, alpha=0.01))
    assert (judged.lo, judged.hi, judged.decision) == (-math.inf, math.inf, OPEN)


def decisions(differences_DS, rule):
    """Return each simulated study's decision, by the function that decides real ones."""
    found = []
    for differences_S in differences_DS:
        for num_seeds in rule.looks:
            judged = judge(differences_S[:num_seeds], rule)
            if judged.decision != OPEN:
                break
        found.append(judged.decision)
    return np.array(found)


LAWS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy": lambda rng, shape: rng.standard_t(3, shape),
    "skewed": lambda rng, shape: rng.standard_gamma(4, shape) - 4,
    "skewed arms": lambda rng, shape: rng.lognormal(size=shape) - rng.lognormal(size=shape),
}


@pytest.mark.parametrize("law", LAWS)
def test_without_an_effect_at_most_one_study_in_twenty_finds_one(law):
    rule = Rule(LOOKS, 1e-9)
    found = decisions(LAWS[law](np.random.default_rng(0), (3000, LOOKS[-1])), rule)
    rate = np.mean((found == BETTER) | (found == WORSE))
    assert 0.005 < rate < 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 3000)


def test_an_effect_at_the_smallest_of_interest_is_rarely_called_smaller():
    rule = Rule(LOOKS, 1.5)
    noise_DS = np.random.default_rng(1).standard_normal((1500, LOOKS[-1]))
    assert np.mean(decisions(1.5 + noise_DS, rule) == SMALLER) < 0.04  # half of alpha: one end of the interval
    assert np.mean(decisions(noise_DS, rule) == SMALLER) > 0.85


def test_a_large_effect_stops_early_and_has_its_sign():
    rule = Rule(LOOKS, 0.01)
    judged = judge(np.array([0.10, 0.101, 0.102]), rule)
    assert judged.decision == BETTER
    assert judged.estimate == pytest.approx(0.101)
    half = rule.critical_values[0] * 0.001 / math.sqrt(3)  # the deviation is 0.001 by construction
    assert (judged.lo, judged.hi) == pytest.approx((0.101 - half, 0.101 + half))
    assert judge(-np.array([0.10, 0.101, 0.102]), rule).decision == WORSE


def test_the_last_look_ends_the_budget_and_a_small_difference_is_called_small():
    rule = Rule((3, 4), 0.05)
    wide = [0.2, -0.3, 0.25]
    assert judge(wide, rule).decision == OPEN
    assert judge([*wide, -0.1], rule).decision == UNDECIDED
    small = judge([0.010, 0.011, 0.012], rule)  # its interval excludes 0, but no effect of interest is possible
    assert small.lo > 0
    assert small.decision == SMALLER


def test_seeds_without_spread_decide_nothing():
    judged = judge([0.0, 0.0, 0.0], Rule((3, 4), 0.05))
    assert (judged.lo, judged.hi, judged.decision) == (-math.inf, math.inf, OPEN)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"looks": (5, 3)}, "looks"),
        ({"looks": (3, 3)}, "looks"),
        ({"looks": (2, 4)}, "looks"),
        ({"looks": ()}, "looks"),
        ({"smallest_effect": 0.0}, "smallest_effect"),
        ({"smallest_effect": math.nan}, "smallest_effect"),
        ({"alpha": 0.9}, "alpha"),
        ({"num_comparisons": 0}, "num_comparisons"),
        ({"alpha": 0.001, "num_comparisons": 11}, "alpha = 0.001 for 11 comparisons leaves the last of the looks"),
        ({"alpha": 0.01, "num_comparisons": 110}, "too little error to call any difference different; raise alpha"),
        ({"alpha": 0.001, "looks": (3, 23, 24)}, "or leave out a look"),
    ],
)
def test_a_rule_outside_its_range_is_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        Rule(**{"looks": LOOKS, "smallest_effect": 0.01, **changes})


def test_other_numbers_of_seeds_and_missing_values_are_refused():
    rule = Rule(LOOKS, 0.01)
    with pytest.raises(ValueError, match="4 seeds are none of the declared looks"):
        judge([0.1, 0.2, 0.3, 0.4], rule)
    with pytest.raises(ValueError, match="finite"):
        judge([0.1, math.nan, 0.3], rule)


@pytest.mark.parametrize(("alpha", "num_comparisons", "looks"), [(0.001, 10, LOOKS), (0.05, 500, (3, 8))])
def test_the_strictest_rule_still_finds_a_plain_difference(alpha, num_comparisons, looks):
    """The last look has an error to spend: a difference of 1.00 ± 0.01 is found."""
    rule = Rule(looks, 0.01, alpha, num_comparisons)
    assert math.isfinite(rule.critical_values[-1])
    assert judge(1 + 0.01 * np.random.default_rng(0).normal(size=looks[-1]), rule).decision == BETTER
