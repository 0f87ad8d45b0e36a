"""Exact intervals of shares of a few runs.

Shapes: A = a + 1 and B = b + 1 outcomes of two arms with a and b runs; R rates; D differences of two rates.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.stats import binom, binomtest

from analysis.statistics.intervals import LEVEL, Interval

CLOPPER_PEARSON = "Clopper–Pearson, exact"
BARNARD = "Barnard's test inverted, exact to 1 point"
METHOD = "the method (its training seeds)"

_PER_UNIT = 100
_RATES = np.arange(_PER_UNIT + 1) / _PER_UNIT
_TIE = 1e-9


def share_interval(count: int, trials: int) -> Interval:
    """Return count / trials with Clopper and Pearson's interval (1934); NaN without trials."""
    if trials == 0:
        return Interval(np.nan, np.nan, np.nan, "no runs", METHOD, 0)
    lo, hi = binomtest(count, trials).proportion_ci(LEVEL, method="exact")
    return Interval(count / trials, float(lo), float(hi), CLOPPER_PEARSON, METHOD, trials)


def difference_interval(count: int, trials: int, other_count: int, other_trials: int) -> Interval:
    """Return count / trials − other_count / other_trials with an exact unconditional interval; NaN without trials.

    The interval holds all differences that two one-sided tests, each at half the level, do not reject (Chan and Zhang
    1999, Biometrics 55). A test rejects a difference if, for every pair of rates with that difference, outcomes at
    least as extreme as the observed one are too unlikely. Extreme means a large score statistic, its variance taken at
    the likeliest rates with that difference. At difference zero this is Barnard's test. Differences and rates are
    searched in steps of 1/100.
    """
    if trials == 0 or other_trials == 0:
        return Interval(np.nan, np.nan, np.nan, "no runs in one of the arms", METHOD, 0)
    lo = _lower_bound(count, trials, other_count, other_trials)
    hi = -_lower_bound(other_count, other_trials, count, trials)
    estimate = count / trials - other_count / other_trials
    return Interval(estimate, lo, hi, BARNARD, METHOD, min(trials, other_trials))


@lru_cache(maxsize=256)
def _lower_bound(count: int, trials: int, other_count: int, other_trials: int) -> float:
    """Return the smallest difference that is not rejected in favour of a larger one."""
    for difference in np.arange(-_PER_UNIT, _PER_UNIT + 1) / _PER_UNIT:
        if _p_value(difference, count, trials, other_count, other_trials) > (1 - LEVEL) / 2:
            return float(difference)
    return 1.0


def _p_value(difference: float, count: int, trials: int, other_count: int, other_trials: int) -> float:
    """Return the chance of a score statistic at least as large as the observed: its maximum over all rates."""
    other_R = _RATES[(_RATES + difference >= -_TIE) & (_RATES + difference <= 1 + _TIE)]
    rate_R = np.clip(other_R + difference, 0.0, 1.0)
    outcomes_A, outcomes_B = np.arange(trials + 1), np.arange(other_trials + 1)
    log_RA = binom.logpmf(outcomes_A, trials, rate_R[:, None])
    log_RB = binom.logpmf(outcomes_B, other_trials, other_R[:, None])
    log_RAB = log_RA[:, :, None] + log_RB[:, None, :]
    favoured_AB = log_RAB.argmax(axis=0)
    variance_R = rate_R * (1 - rate_R) / trials + other_R * (1 - other_R) / other_trials
    excess_AB = outcomes_A[:, None] / trials - outcomes_B / other_trials - difference
    score_AB = excess_AB / np.sqrt(np.maximum(variance_R[favoured_AB], 1e-12))
    extreme_AB = score_AB >= score_AB[count, other_count] - _TIE
    return float(np.exp(log_RAB[:, extreme_AB]).sum(axis=1).max())
