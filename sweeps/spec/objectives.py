"""Objective values of finished runs, for searches and for the comparison of cells.

    pass@<k>/<benchmark>                      mean Pass@k over the problems of one of the run's evaluations
    metrics.<column>:last|mean|max|min        a column of metrics.parquet over the steps of the run

Shapes: P problems.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from agrae_lab.runs.suggestions import close_match
from sweeps.errors import PlanError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sweeps.spec.study import Study

FORMS = "pass@<k>/<benchmark> or metrics.<column>:last|mean|max|min"
REDUCTIONS: Mapping[str, Callable[[pd.Series], float]] = {
    "last": lambda series: series.iloc[-1],
    "mean": lambda series: series.mean(),
    "max": lambda series: series.max(),
    "min": lambda series: series.min(),
}

# Scalar columns of metrics.parquet. A test compares this list with a run's own columns.
COLUMNS = (
    "greedy_accuracy", "greedy_entropy", "seconds_sampling", "seconds_reward", "seconds_training", "num_prompts",
    "num_completions", "correct_count", "incorrect_count", "undecided_count", "fully_solved", "fully_unsolved",
    "solved_at_least_once", "omega", "entropy", "adv_sum", "adv_abs_sum", "adv_positive_mass", "adv_negative_mass",
    "grpo_abs_sum", "adv_share_changed", "mean_length", "max_length", "truncated_share", "num_tokens", "loss",
    "grad_norm", "learning_rate", "epoch", "kl", "approx_kl", "clip_low", "clip_high", "clip_region",
    "final_greedy_accuracy", "final_greedy_entropy",
)  # fmt: skip

# column → the config key without which (0) no run records it
_NEEDS = {"kl": "loss.kl_coefficient"} | dict.fromkeys(
    ("greedy_accuracy", "greedy_entropy", "final_greedy_accuracy", "final_greedy_entropy"), "train.validate_every"
)

_PASS = re.compile(r"pass@([1-9]\d*)/(.+)")
_METRIC = re.compile(r"metrics\.(\w+):(\w+)")


@dataclass(frozen=True)
class PassAtK:
    """`pass@<k>/<benchmark>`."""

    k: int
    benchmark: str


@dataclass(frozen=True)
class Recorded:
    """`metrics.<column>:<reduction>`."""

    column: str
    reduction: str


def parse_metric(metric: str) -> PassAtK | Recorded:
    """Return the parsed name of a metric.

    Raises:
        PlanError: neither of the two forms, or a column that no run records.
    """
    if found := _PASS.fullmatch(metric):
        return PassAtK(int(found[1]), found[2])
    if found := _METRIC.fullmatch(metric):
        _check_choice(metric, found[2], REDUCTIONS, "a column has no reduction")
        _check_choice(metric, found[1], COLUMNS, "runs record no column")
        return Recorded(found[1], found[2])
    raise PlanError([f"'{metric}' is not a metric; write {FORMS}"])


def check_metric(metric: str, config: Mapping[str, Any]) -> None:
    """Check that a run of this frozen config will have the metric.

    Raises:
        PlanError: an unknown form, column or benchmark, or a k above the number of samples.
    """
    wanted = parse_metric(metric)
    if isinstance(wanted, PassAtK):
        evaluation = config.get("evaluation") or {}
        benchmarks = list(evaluation.get("benchmarks") or ())
        _check_choice(metric, wanted.benchmark, benchmarks, "evaluation.benchmarks has no")
        if wanted.k > (number := evaluation["num_samples"]):
            raise PlanError(
                [f"'{metric}': evaluation.num_samples = {number} gives no Pass@{wanted.k}; raise it, or lower k"]
            )
    elif (key := _NEEDS.get(wanted.column)) is not None and _value(config, key) == 0:
        raise PlanError([f"'{metric}': no run records {wanted.column} while {key} is 0; set it above 0 in 'base'"])


def check_study_metrics(study: Study, configs: Iterable[Mapping[str, Any]]) -> None:
    """Check that every run of a study will have the metrics of its objectives and constraints.

    Raises:
        PlanError: as `check_metric`; each different sentence once.
    """
    faults: dict[str, None] = {}
    for config in configs:
        for metric in study_metrics(study):
            try:
                check_metric(metric, config)
            except PlanError as error:
                faults |= dict.fromkeys(error.sentences)
    if faults:
        raise PlanError(faults)


def study_metrics(study: Study) -> list[str]:
    """Return the metrics of a study's objectives and constraints, each once."""
    names = [objective.metric for objective in study.objective] + [
        constraint.metric for constraint in study.constraints
    ]
    return list(dict.fromkeys(names))


def metric_value(run: runs.Run, metric: str) -> float | None:
    """Return the metric of one run, which may be infinite; None until the run has recorded it.

    Raises:
        analysis.io.study.FrameError: a file of the run cannot be read.
    """
    wanted = parse_metric(metric)
    if isinstance(wanted, Recorded):
        series = recorded_series(run, wanted.column)
        return None if series.empty else float(REDUCTIONS[wanted.reduction](series))
    values_P = pass_by_problem(run, wanted)
    return None if values_P is None else float(values_P.mean())


def pass_by_problem(run: runs.Run, wanted: PassAtK) -> np.ndarray | None:
    """Return Pass@k of each problem ([P], in the order of their ids); None before the run is evaluated.

    Raises:
        analysis.io.study.FrameError: as `metric_value`, or fewer than k samples of a problem.
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
    """Return a column of metrics.parquet by step, without steps that have no value; empty before the first step.

    Raises:
        analysis.io.study.FrameError: the file cannot be read, or lacks the column.
    """
    from analysis.io.training_records import read_metrics

    return read_metrics(run, [column], keep_infinite=True).set_index("step")[column].astype(float).dropna()


def _value(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key; None if the config lacks it."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _check_choice(metric: str, found: str, choices: Collection[str], complaint: str) -> None:
    if found not in choices:
        hint = close_match(found, choices) or (f"choose from {', '.join(choices)}" if choices else "there are none")
        raise PlanError([f"'{metric}': {complaint} '{found}'; {hint}"])
