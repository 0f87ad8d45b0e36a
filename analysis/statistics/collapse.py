"""Collapse of a run: a sudden and lasting loss of ability, found in its recorded metrics.

The rule searches for a step after which a series is worse suddenly and for good. With a window of w values, the mean of
the w values from the step on ("after") must be worse, by more than a threshold, than
- the best w values in a row among the last 2w before it: so the change is sudden, and a slow decline is no collapse;
- the best w values in a row of all before it: so the end of a bad stretch is no collapse;
and the median of all values from the step to the end must be worse than the latter by more than the threshold.

    series                  after          to the end       threshold: the larger of
    fully unsolved prompts  5 steps        10 steps         5 % of the batch; 4 standard errors
    greedy accuracy         3 validations  3 validations    3 % of the best; 4 standard errors

Standard errors are binomial, for the difference of two means over prompts (fresh in each batch) or problems. Greedy
accuracy uses the same problems at each validation: this reduces its noise and correlates it between validations, and
the binomial error covers both effects. The metrics do not record the number of problems. It is taken to be the smallest
N of which all values are multiples of 1/N, which can only be too small; without such an N greedy accuracy is skipped.
A run has collapsed if either series has; the earlier of two counts. The step is the one with the largest jump.

Not found: a slow decline; a change in the first or last few values (see the table); a collapse from which more than
half of the later values recover; one within the noise; one of another quantity, such as length or format. A training
set whose prompts suddenly get harder is mistaken for a collapse.

Simulated: binomial batches of P prompts; greedy accuracy on N problems, whose outcome persists from one validation to
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
        N = 128, from 45 %, outcomes persist with chance 0.5                             0 %    10 %    99 %
        N = 5,000, from 76 %, likewise                                                 100 %   100 %   100 %
The step found is that of the jump, ± 3 for the smallest jumps found, and up to 6 steps into a rise over 10 steps.
Recorded: no alarm in 41 runs of the nano world (≥ 40 steps) and in the seven stable series that the paper's authors
logged. The collapsed test accuracy of their Figure 9 (a fall from 76.2 to 73.7 %; of unclear origin) is found at the
step of the fall. Two nano runs at 7 and 20 times their learning rate, which lose everything within three steps, are
found at step 6, the first with five steps before it. One run at 4 times, which falls from 41 to 13 % greedy accuracy
before its second validation and recovers to 33 %, is not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from analysis.io.parquet import FileState, file_state
from analysis.io.study import Study
from analysis.io.training_records import read_metrics, read_metrics_file

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

# means of the best earlier values and of the values after, both [I] → smallest difference that counts, [I]
Threshold = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Collapse:
    """Collapse of a run. `before` and `after` are shares: of fully unsolved prompts, or greedy accuracy."""

    step: int
    sign: str  # UNSOLVED or GREEDY
    before: float  # best mean of a few values before the step
    after: float  # mean of the few values from the step on


def detect(metrics: pd.DataFrame) -> Collapse | None:
    """Return the first collapse of a run, or None.

    Args:
        metrics: columns step and COLUMNS, one row per step; greedy_accuracy is null where it was not measured.
    """
    found = [collapse for collapse in (_unsolved_collapse(metrics), _greedy_collapse(metrics)) if collapse is not None]
    return min(found, key=lambda collapse: collapse.step, default=None)


def collapse_table(study: Study) -> pd.DataFrame:
    """Return one row per run of a study: arm, seed, status, steps, observable, collapsed, step, sign, before, after.

    A diverged run counts as collapsed: with sign DIVERGED at its last recorded step, unless the rule finds a step.
    Of a run that is not observable nothing is known: it has too few steps and validations for the rule.

    Raises:
        FrameError: a run's metrics cannot be read.
    """
    rows = []
    for arm, runs in study.arms.items():
        for run in runs:
            metrics = read_metrics(run, COLUMNS)
            found = _detect_in_file(file_state(run.metrics_path)) if len(metrics) else None
            if found is None and run.status == "diverged":
                found = Collapse(int(metrics["step"].max()) if len(metrics) else 0, DIVERGED, np.nan, np.nan)
            event = vars(found) if found else {"step": pd.NA, "sign": "", "before": np.nan, "after": np.nan}
            identity = {"arm": arm, "seed": run.seed, "status": run.status, "steps": len(metrics)}
            observable = found is not None or _is_observable(metrics)
            rows.append({**identity, "observable": observable, "collapsed": found is not None, **event})
    columns = ["arm", "seed", "status", "steps", "observable", "collapsed", "step", "sign", "before", "after"]
    return pd.DataFrame(rows, columns=columns).astype({"step": "Int64", "before": float, "after": float})


def _is_observable(metrics: pd.DataFrame) -> bool:
    """Return whether the rule has enough values of a run to find a collapse."""
    counts = metrics[["fully_unsolved", "greedy_accuracy"]].count()
    return bool(
        counts["fully_unsolved"] >= _STEPS + _STEPS_LEFT
        or counts["greedy_accuracy"] >= _VALIDATIONS + _VALIDATIONS_LEFT
    )


@lru_cache(maxsize=2048)  # every figure of steps marks collapses
def _detect_in_file(state: FileState) -> Collapse | None:
    return detect(read_metrics_file(state, COLUMNS))


def _unsolved_collapse(metrics: pd.DataFrame) -> Collapse | None:
    counted = metrics.dropna(subset=["fully_unsolved", "num_prompts"])
    share_T = (counted["fully_unsolved"] / counted["num_prompts"]).to_numpy(dtype=float)

    def threshold(before_I: np.ndarray, after_I: np.ndarray) -> np.ndarray:
        draws = _STEPS * float(counted["num_prompts"].median())
        return np.maximum(_RISE, _ERRORS * _standard_error((before_I + after_I) / 2, draws))

    at = _first_change(share_T, threshold, width=_STEPS, left=_STEPS_LEFT)
    return None if at is None else _measure_collapse(counted["step"], share_T, at, _STEPS, UNSOLVED, worse=+1)


def _greedy_collapse(metrics: pd.DataFrame) -> Collapse | None:
    measured = metrics.dropna(subset="greedy_accuracy")
    failed_V = 1.0 - measured["greedy_accuracy"].to_numpy(dtype=float)
    if (num_problems := least_denominator(failed_V)) is None:
        return None

    def threshold(before_I: np.ndarray, after_I: np.ndarray) -> np.ndarray:
        error_I = _standard_error((before_I + after_I) / 2, _VALIDATIONS * num_problems)
        return np.maximum(_FALL * (1.0 - before_I), _ERRORS * error_I)

    at = _first_change(failed_V, threshold, width=_VALIDATIONS, left=_VALIDATIONS_LEFT)
    return (
        None if at is None else _measure_collapse(measured["step"], 1.0 - failed_V, at, _VALIDATIONS, GREEDY, worse=-1)
    )


def _standard_error(rate_I: np.ndarray, draws: float) -> np.ndarray:
    """Return the standard error of the difference of two shares of `draws` draws each, at one rate."""
    return np.sqrt(2 * rate_I * (1 - rate_I) / draws)


def least_denominator(shares_V: np.ndarray) -> int | None:
    """Return the smallest N ≤ 20,000 of which all shares are multiples of 1/N to six digits, or None."""
    fitting = np.arange(1, _MOST_PROBLEMS + 1)
    for share in np.unique(shares_V):
        fitting = fitting[np.abs(share * fitting - np.rint(share * fitting)) < 1e-6 * fitting]
    return int(fitting[0]) if len(fitting) else None


def _first_change(bad_T: np.ndarray, threshold: Threshold, *, width: int, left: int) -> int | None:
    """Return the index of the first value after the change, or None. Larger values of `bad_T` are worse."""
    after_at = np.arange(width, len(bad_T) - left + 1)  # candidates for the first value after the change
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
    near = [i for i in lasting if i < lasting[0] + width]  # windows of one change overlap; the sharpest is its step
    return int(after_at[max(near, key=lambda i: after_I[i] - mean_W[before[i]])])


def _measure_collapse(
    steps: pd.Series, values_T: np.ndarray, at: int, width: int, sign: str, *, worse: int
) -> Collapse:
    """Return the collapse at an index of a series. worse: +1 if larger values are worse, −1 if smaller ones are."""
    means_W = worse * sliding_window_view(values_T, width).mean(axis=1)
    before, after = worse * means_W[: at - width + 1].min(), worse * means_W[at]
    return Collapse(int(steps.iloc[at]), sign, float(before), float(after))
