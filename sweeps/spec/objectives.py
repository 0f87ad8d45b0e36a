"""What a finished run is worth: the numbers that a search maximises or minimises, and that studies are compared by.

    pass@<k>/<benchmark>                      mean Pass@k over the problems of one of the run's evaluations
    metrics.<column>:last|mean|max|min        a column of metrics.parquet over the steps of the run

Shapes: P problems.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from sweeps.errors import PlanError, close_match

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sweeps.spec.study import Study

FORMS = "pass@<k>/<benchmark> or metrics.<column>:last|mean|max|min"
HOW = ("last", "mean", "max", "min")

# The scalar columns of metrics.parquet; a test holds this list to what a run records.
COLUMNS = (
    "greedy_accuracy", "greedy_entropy", "seconds_sampling", "seconds_reward", "seconds_training", "num_prompts",
    "num_completions", "correct_count", "incorrect_count", "undecided_count", "fully_solved", "fully_unsolved",
    "solved_at_least_once", "omega", "entropy", "adv_sum", "adv_abs_sum", "adv_positive_mass", "adv_negative_mass",
    "grpo_abs_sum", "adv_share_changed", "mean_length", "max_length", "truncated_share", "num_tokens", "loss",
    "grad_norm", "learning_rate", "epoch", "kl", "approx_kl", "clip_low", "clip_high", "clip_region",
    "final_greedy_accuracy", "final_greedy_entropy",
)  # fmt: skip

_PASS = re.compile(r"pass@([1-9]\d*)/(.+)")
_METRIC = re.compile(r"metrics\.(\w+):(\w+)")


@dataclass(frozen=True)
class PassAtK:
    """`pass@<k>/<benchmark>`."""

    k: int
    benchmark: str


@dataclass(frozen=True)
class Recorded:
    """`metrics.<column>:<how>`."""

    column: str
    how: str


def parse_metric(metric: str) -> PassAtK | Recorded:
    """A metric's name, read.

    Raises:
        PlanError: not of one of the two forms, or a column that no run records.
    """
    if found := _PASS.fullmatch(metric):
        return PassAtK(int(found[1]), found[2])
    if found := _METRIC.fullmatch(metric):
        _check_choice(metric, found[2], HOW, "a column is not reduced by")
        _check_choice(metric, found[1], COLUMNS, "runs record no column")
        return Recorded(found[1], found[2])
    raise PlanError([f"'{metric}' is not a metric; write {FORMS}"])


def metric_names_ok(metric: str, config: Mapping[str, Any]) -> bool:
    """True if a run of this frozen config will have the metric.

    Raises:
        PlanError: it will not: no such form, column or benchmark, or a k beyond the number of samples.
    """
    wanted = parse_metric(metric)
    if isinstance(wanted, PassAtK):
        evaluation = config.get("evaluation") or {}
        benchmarks = list(evaluation.get("benchmarks") or ())
        _check_choice(metric, wanted.benchmark, benchmarks, "evaluation.benchmarks has no")
        if wanted.k > evaluation["num_samples"]:
            number = evaluation["num_samples"]
            raise PlanError(
                [f"'{metric}': evaluation.num_samples = {number} gives no Pass@{wanted.k}; raise it, or lower k"]
            )
    return True


def metrics_of(study: Study) -> list[str]:
    """What a study's cells are judged by: objectives, then constraints, each metric once."""
    names = [objective.metric for objective in study.objective] + [one.metric for one in study.constraints]
    return list(dict.fromkeys(names))


def value_of(run: runs.Run, metric: str) -> float | None:
    """The metric of one run; None where the run has not recorded it (yet). It may be infinite.

    Raises:
        analysis.io.study.FrameError: a file of the run cannot be read.
    """
    wanted = parse_metric(metric)
    if isinstance(wanted, Recorded):
        series = recorded_series(run, wanted.column)
        return None if series.empty else float(_REDUCE[wanted.how](series))
    values_P = pass_by_problem(run, wanted)
    return None if values_P is None else float(values_P.mean())


def pass_by_problem(run: runs.Run, wanted: PassAtK) -> np.ndarray | None:
    """[P]: Pass@k of each problem, in the order of their ids; None before the run is evaluated.

    Raises:
        analysis.io.study.FrameError: as `value_of`, and where there are fewer than k samples of a problem.
    """
    from analysis.io.eval_counts import read_counts
    from analysis.io.parquet import FrameError
    from analysis.statistics.passk import pass_at_k

    path = run.samples_path(wanted.benchmark)
    if not path.is_file():
        return None
    counts = read_counts(path)
    if wanted.k > counts.num_samples:
        raise FrameError(f"{path} has {counts.num_samples} samples of a problem, too few for Pass@{wanted.k}")
    return pass_at_k(counts.correct_P, counts.num_samples, (wanted.k,))[:, 0]


def recorded_series(run: runs.Run, column: str) -> pd.Series:
    """A column of metrics.parquet by step, without the steps that have no value; empty before the first.

    Raises:
        analysis.io.study.FrameError: as `value_of`, and where the file lacks the column.
    """
    from analysis.io.training_records import read_metrics

    return read_metrics(run, [column], keep_infinite=True).set_index("step")[column].astype(float).dropna()


_REDUCE = {
    "last": lambda series: series.iloc[-1],
    "mean": lambda series: series.mean(),
    "max": lambda series: series.max(),
    "min": lambda series: series.min(),
}


def _check_choice(metric: str, found: str, choices: Collection[str], what: str) -> None:
    if found not in choices:
        hint = close_match(found, choices) or f"choose from {', '.join(choices) or 'none, for it has none'}"
        raise PlanError([f"'{metric}': {what} '{found}'; {hint}"])
