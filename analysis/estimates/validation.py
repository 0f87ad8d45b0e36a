"""Intervals of greedy accuracy: the validation's problems are a sample, beside the seeds."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from agrae_lab.runs import Run
from analysis.estimates.step_series import MEAN
from analysis.io.eval_counts import read_counts
from analysis.io.parquet import FrameError, run_named_in_errors
from analysis.io.study import Study
from analysis.statistics.intervals import LEVEL, half_width, t_quantile, wilson_interval

BINOMIAL = "Wilson over problems"
SEEDS_AND_PROBLEMS = "t over seeds, binomial over problems"


def num_validation_problems(run: Run) -> int | None:
    """Return the number of problems of the benchmark train.validate_on; None before it has an evaluation.

    The base model's evaluation stands in for the run's.

    Raises:
        FrameError: the run's evaluation cannot be read.
    """
    benchmarks = run.config["evaluation"].get("benchmarks") or {}
    name = run.config["train"].get("validate_on") or next(iter(benchmarks), None)
    if name is None:
        return None
    if (own := run.samples_path(name)).is_file():
        with run_named_in_errors(run.path):
            return len(read_counts(own).problem_ids)
    base = run.base_samples_path(name)
    if base is not None and base.is_file():
        with suppress(FrameError):  # collect names it, and no run is at fault
            return len(read_counts(base).problem_ids)
    return None


def with_binomial_intervals(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return rows of series_table for an accuracy with intervals that include the choice of problems.

    A single run gets Wilson's interval. A mean over seeds gets √(Σ t²·variance) over the sources seeds and problems, or
    Wilson's interval where that is wider. All seeds see the same problems, and a problem's mean score varies less than
    a score of 0 or 1, so it is conservative.
    `problems` is the number of problems; rows of an arm whose number is not known keep what they have.

    Raises:
        FrameError: an evaluation cannot be read.
    """
    numbers = {arm: next(filter(None, map(num_validation_problems, runs)), None) for arm, runs in study.arms.items()}
    rows = table.assign(problems=table["arm"].map(numbers).astype("Int64"))
    known = rows["problems"].notna()
    if known.any():
        rows.loc[known, ["lo", "hi", "method"]] = [_interval(row) for row in rows[known].itertuples()]
    return rows


def _interval(row: Any) -> tuple[float, float, str]:
    """Return lo, hi and method of a row whose number of problems is known."""
    accuracy, num = float(row.value), int(row.problems)
    lo, hi = wilson_interval(accuracy * num, num)
    if row.seed != MEAN:
        return lo, hi, BINOMIAL
    dof = int(row.seeds) - 1
    from_seeds = ((row.hi - accuracy) / t_quantile(dof)) ** 2  # hi is not cut, lo is cut at 0
    from_problems = accuracy * (1 - accuracy) / num
    parts = [(np.array([from_seeds]), np.array([dof])), (np.array([from_problems]), np.array([num - 1]))]
    half = float(half_width(parts, np.array([(1 - LEVEL) / 2]))[0])
    # at 0 and 1 the binomial variance is 0, and Wilson's bound holds
    return min(lo, max(accuracy - half, 0.0)), max(hi, min(accuracy + half, 1.0)), SEEDS_AND_PROBLEMS
