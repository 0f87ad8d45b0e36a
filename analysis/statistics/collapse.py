"""Collapse: a run loses, within a few steps and for good, what it could do. Found in its recorded metrics by one rule.

The rule looks for a step after which a series is worse, suddenly and for good. Of the values from that step on, the
next few ("after") must be worse by more than a threshold than
- the best as many in a row among the last twice as many before: the change is sudden, a slow decline is none;
- the best as many in a row of all before: the run has known better, a bad stretch that ends is none;
and the median of all values from that step to the end must be worse than that latter best by more than the threshold.

    series                  after          to the end       threshold: the larger of
    fully unsolved prompts  5 steps        10 steps         5 % of the batch; 4 standard errors
    greedy accuracy         3 validations  3 validations    3 % of the best; 4 standard errors

Standard errors are binomial, of a difference of two means of so many values: of prompts, drawn afresh for each batch,
or of problems. Greedy accuracy is measured on the same problems each time, which makes its noise smaller, and
dependent from one validation to the next, which makes that of a mean larger; the binomial error covers both. The
metrics do not say how many problems there are: it is taken to be the least N of which all values are multiples of 1/N,
which can only be too few; without such an N the accuracy is not judged.
A run has collapsed if either series has; of two, the earlier counts. The step is the one where the jump is largest.

What it cannot see: a slow decline; a change in a run's first few or last few values (see the table); a collapse from
which more than half of the later values recover; one within the noise; one that neither series shows, of lengths or
formats, say. It mistakes for a collapse a training set whose prompts get harder from one step to the next.

Simulated: binomial batches of P prompts; greedy accuracy on N problems, a problem's outcome kept from one validation to
the next with chance 0, 0.5 or 0.8.
    false alarms, share of unsolved level or falling (P 16–1,024, 72–600 steps)             1 in 15,900 runs
        rising evenly by 10 pp over the run, by 20 pp                                       0–4 %, 0–15 % of runs
        greedy accuracy level (N 30–5,000, 9–40 validations)                                0 in 5,900 runs
    power, 140 steps, unsolved prompts jump at once                                  by 5 pp   10 pp   15 pp   20 pp
        P = 64, from 30 %                                                                1 %    25 %    90 %   100 %
        P = 256, from 10 %                                                              86 %   100 %   100 %   100 %
        P = 1,024, from 6 %                                                             87 %   100 %   100 %   100 %
        rising over 10 steps: P = 64 by 20 pp 94 %; P = 256 by 10 pp 100 %; P = 1,024 by 10 pp 100 %
    power, 20 validations, greedy accuracy falls from then on by                        5 pp   10 pp   20 pp
        N = 128, from 45 %, outcomes kept with chance 0.5                                0 %    10 %    99 %
        N = 5,000, from 76 %, likewise                                                 100 %   100 %   100 %
The step found is that of a jump, give or take 3 for the smallest that are found, and up to 6 into a rise over 10 steps.
Recorded: 41 runs of the nano world (≥ 40 steps) raise none, nor do the seven stable series that the paper's authors
logged. The collapsed test accuracy of their Figure 9 (a fall from 76.2 to 73.7 %; of unclear origin) is found at the
step where it falls. Two nano runs at 7 and 20 times their learning rate, which lose all within three steps, are found
as well, but at step 6, the first that has five before it; one at 4 times, which falls from 41 to 13 % greedy accuracy
before its second validation and climbs back to 33 %, is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from analysis.io.study import Study
from analysis.io.training_records import read_metrics

COLUMNS = ("fully_unsolved", "num_prompts", "greedy_accuracy")
UNSOLVED, GREEDY, DIVERGED = "fully unsolved prompts", "greedy accuracy", "diverged"

RULE = (
    "Collapse: fully unsolved prompts of 5 steps exceed the best 5 in a row of the 10 before, and of all before, by "
    "more than 5 % of the batch and 4 binomial standard errors; or greedy accuracy of 3 validations falls "
    "likewise by more than 3 % of its best and 4 binomial standard errors; and the median of what follows stays as "
    "bad. Not seen: slow declines, and changes in the first or last few values."
)

_STEPS, _STEPS_LEFT, _RISE = 5, 10, 0.05
_VALIDATIONS, _VALIDATIONS_LEFT, _FALL = 3, 3, 0.03
_ERRORS = 4.0
_MOST_PROBLEMS = 20_000

# Means of the best earlier values and of the values after, both [I] → least difference that counts, [I]
Threshold = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Collapse:
    """Where and how a run collapsed. `before` and `after` are shares: of the batch's prompts, or greedy accuracy."""

    step: int
    sign: str  # UNSOLVED or GREEDY
    before: float  # best mean of a few values before the step
    after: float  # mean of the few values from the step on


def detect(metrics: pd.DataFrame) -> Collapse | None:
    """The first collapse of a run by the rule of this module, None where there is none.

    Args:
        metrics: columns step and COLUMNS, a row per step; greedy_accuracy is null where it was not measured.
    """
    found = [collapse for collapse in (_unsolved(metrics), _greedy(metrics)) if collapse is not None]
    return min(found, key=lambda collapse: collapse.step, default=None)


def collapse_table(study: Study) -> pd.DataFrame:
    """Every run of a study: columns arm, seed, status, steps, collapsed, step, sign, before, after.

    A diverged run has collapsed too, with sign DIVERGED at its last recorded step unless the rule finds an earlier one.

    Raises:
        FrameError: a run's metrics cannot be read.
    """
    rows = []
    for arm, runs in study.arms.items():
        for run in runs:
            metrics = read_metrics(run, COLUMNS)
            found = detect(metrics)
            if found is None and run.status == "diverged":
                found = Collapse(int(metrics["step"].max()) if len(metrics) else 0, DIVERGED, np.nan, np.nan)
            what = vars(found) if found else {"step": pd.NA, "sign": "", "before": np.nan, "after": np.nan}
            about = {"arm": arm, "seed": run.seed, "status": run.status, "steps": len(metrics)}
            rows.append({**about, "collapsed": found is not None, **what})
    columns = ["arm", "seed", "status", "steps", "collapsed", "step", "sign", "before", "after"]
    return pd.DataFrame(rows, columns=columns).astype({"step": "Int64", "before": float, "after": float})


def _unsolved(metrics: pd.DataFrame) -> Collapse | None:
    share_T = (metrics["fully_unsolved"] / metrics["num_prompts"]).to_numpy(dtype=float)

    def threshold(before_I: np.ndarray, after_I: np.ndarray) -> np.ndarray:
        draws = _STEPS * float(metrics["num_prompts"].median())
        return np.maximum(_RISE, _ERRORS * _standard_error((before_I + after_I) / 2, draws))

    at = _first_change(share_T, threshold, width=_STEPS, left=_STEPS_LEFT)
    return None if at is None else _collapse(metrics["step"], share_T, at, _STEPS, UNSOLVED, worse=+1)


def _greedy(metrics: pd.DataFrame) -> Collapse | None:
    measured = metrics.dropna(subset="greedy_accuracy")
    failed_V = 1.0 - measured["greedy_accuracy"].to_numpy(dtype=float)
    if (num_problems := least_denominator(failed_V)) is None:
        return None

    def threshold(before_I: np.ndarray, after_I: np.ndarray) -> np.ndarray:
        error_I = _standard_error((before_I + after_I) / 2, _VALIDATIONS * num_problems)
        return np.maximum(_FALL * (1.0 - before_I), _ERRORS * error_I)

    at = _first_change(failed_V, threshold, width=_VALIDATIONS, left=_VALIDATIONS_LEFT)
    return None if at is None else _collapse(measured["step"], 1.0 - failed_V, at, _VALIDATIONS, GREEDY, worse=-1)


def _standard_error(rate_I: np.ndarray, draws: float) -> np.ndarray:
    """Of the difference of two shares of `draws` draws each, where both have the same rate."""
    return np.sqrt(2 * rate_I * (1 - rate_I) / draws)


def least_denominator(shares_V: np.ndarray) -> int | None:
    """The least N ≤ 20,000 of which all shares are multiples of 1/N, to six digits; None if there is none."""
    fitting = np.arange(1, _MOST_PROBLEMS + 1)
    for share in np.unique(shares_V):
        fitting = fitting[np.abs(share * fitting - np.rint(share * fitting)) < 1e-6 * fitting]
    return int(fitting[0]) if len(fitting) else None


def _first_change(bad_T: np.ndarray, threshold: Threshold, *, width: int, left: int) -> int | None:
    """Index of the first value after the change, None without one. Larger values of `bad_T` are worse."""
    after_at = np.arange(width, len(bad_T) - left + 1)  # a candidate is the index of the first value after the change
    if not len(after_at):
        return None
    mean_W = sliding_window_view(bad_T, width).mean(axis=1)
    after_I, before = mean_W[after_at], after_at - width
    best_I = np.minimum.accumulate(mean_W)[before]
    recent_I = np.array([mean_W[max(at - width, 0) : at + 1].min() for at in before])
    least_I = threshold(best_I, after_I)
    candidates = np.flatnonzero((after_I - best_I > least_I) & (after_I - recent_I > least_I))
    lasting = [i for i in candidates if np.median(bad_T[after_at[i] :]) - best_I[i] > least_I[i]]
    if not lasting:
        return None
    near = [i for i in lasting if i < lasting[0] + width]  # windows about one change overlap: the sharpest is the step
    return int(after_at[max(near, key=lambda i: after_I[i] - mean_W[before[i]])])


def _collapse(steps: pd.Series, values_T: np.ndarray, at: int, width: int, sign: str, *, worse: int) -> Collapse:
    """worse: +1 if larger values are worse, −1 if smaller."""
    means_W = worse * sliding_window_view(values_T, width).mean(axis=1)
    before, after = worse * means_W[: at - width + 1].min(), worse * means_W[at]
    return Collapse(int(steps.iloc[at]), sign, float(before), float(after))
