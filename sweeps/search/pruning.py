"""Pruning of unpromising trials. The controller reads the values that runs record; the runs know nothing of it.

    successive_halving   the first seed's run is compared, at a ninth and at a third of its steps, with those of all
                         trials that have come so far; the best third continues
    wilcoxon             after each seed, the problems' Pass@k are compared with the best trial's, problem by problem

A pruned trial has fewer values than the others, so pruning is for searches, never for a reported comparison.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import optuna

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.spec.objectives import PassAtK, Recorded, parse_metric, pass_by_problem, recorded_series
from sweeps.spec.study import Study

if TYPE_CHECKING:
    import pandas as pd

_FACTOR = 3  # of the trials at a rung, a third continues; each rung has three times the steps of the one before
_P_VALUE = 0.1  # Optuna's default


class Pruner(Protocol):
    """Method of pruning. `seed_by_seed`: it compares whole runs, so a trial's seeds start one after the other."""

    seed_by_seed: bool

    def algorithm(self) -> optuna.pruners.BasePruner: ...

    def report(self, trial: optuna.Trial, run: runs.Run, *, index: int) -> str | None:
        """Report the run's new values to Optuna; return the reason for pruning the trial, or None.

        Args:
            run: the trial's run with its index-th seed, in progress or ended.
        """
        ...


class SuccessiveHalving:
    """Asynchronous successive halving over steps. Trials are compared on the study's first seed."""

    seed_by_seed = False

    def __init__(self, metric: Recorded, *, num_steps: int) -> None:
        self._metric, self._num_steps = metric, num_steps
        self._reported: dict[int, int] = {}  # trial → last step

    def algorithm(self) -> optuna.pruners.BasePruner:
        first_rung = math.ceil(self._num_steps / _FACTOR**2)
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first_rung, reduction_factor=_FACTOR)

    def report(self, trial: optuna.Trial, run: runs.Run, *, index: int) -> str | None:
        if index > 0:
            return None
        values = _running_values(recorded_series(run, self._metric.column), self._metric.reduction)
        is_new = values.index > self._reported.get(trial.number, -1)
        is_before_end = values.index < run.config["train"]["num_steps"]  # at its end a run has nothing left to save
        new = values[is_new & is_before_end]
        for step, value in zip(new.index.astype(int).tolist(), new.tolist(), strict=True):
            self._reported[trial.number] = step
            trial.report(value, step)
            if trial.should_prune():
                return f"not among the best third at step {step}"
        return None


class Wilcoxon:
    """Signed-rank test between a trial and the best one, over the problems of the seeds that both have."""

    seed_by_seed = True

    def __init__(self, metric: PassAtK, *, num_seeds: int) -> None:
        self._metric, self._num_seeds = metric, num_seeds

    def algorithm(self) -> optuna.pruners.BasePruner:
        with warnings.catch_warnings():  # it is experimental
            warnings.simplefilter("ignore")
            num_tests = self._num_seeds - 1  # after every seed but the last
            return optuna.pruners.WilcoxonPruner(p_threshold=_P_VALUE / num_tests)

    def report(self, trial: optuna.Trial, run: runs.Run, *, index: int) -> str | None:
        values_P = pass_by_problem(run, self._metric) if run.status == "done" else None
        if values_P is None:
            return None
        for problem, value in enumerate(values_P):
            trial.report(float(value), index * len(values_P) + problem)
        with warnings.catch_warnings():  # the first trials have no other to be compared with
            warnings.simplefilter("ignore")
            return "worse than the best trial, problem by problem" if trial.should_prune() else None


def make_pruner(study: Study, config: Mapping[str, Any]) -> Pruner | None:
    """Return the study's pruner, or None.

    Args:
        config: the frozen config of some run of the study.

    Raises:
        PlanError: this pruner does not fit the study.
    """
    assert study.search is not None
    if study.search.pruner is None:
        return None
    if study.resources.engine != "local":
        raise PlanError([f"search.pruner stops runs of this machine, not of {study.resources.engine}; leave it out"])
    name, metric = f"search.pruner = {study.search.pruner}", study.objective[0].metric
    parsed = parse_metric(metric)
    if study.search.pruner == "successive_halving":
        if isinstance(parsed, PassAtK):
            raise PlanError(
                [f"{name} needs an objective that is recorded step by step, such as metrics.greedy_accuracy:last, "
                 f"but {metric} is known at the end of a run"]
            )  # fmt: skip
        return SuccessiveHalving(parsed, num_steps=config["train"]["num_steps"])
    if not isinstance(parsed, PassAtK):
        raise PlanError([f"{name} compares problems, so its objective must be pass@<k>/<benchmark>, not {metric}"])
    if len(study.seeds) < 2:
        raise PlanError([f"{name} skips a trial's further seeds, but seeds lists one; list more, or leave it out"])
    return Wilcoxon(parsed, num_seeds=len(study.seeds))


def _running_values(series: pd.Series, reduction: str) -> pd.Series:
    """Return the reduction of the column up to each step."""
    grown = series.expanding()
    return {"last": lambda: series, "mean": grown.mean, "max": grown.max, "min": grown.min}[reduction]()
