"""Whether a trial's runs are worth going on with. The controller reads what the runs have recorded; they know nothing.

    successive_halving   the first seed's run is compared, at a ninth and at a third of its steps, with those of all
                         trials that have come so far; the best third goes on
    wilcoxon             after each seed, the problems' Pass@k are compared with the best trial's, problem by problem

A pruned trial has been judged by less than the others, so pruning is for searching, never for a comparison to report.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from agrae_lab import runs
from sweeps.errors import PlanError
from sweeps.spec.objectives import PassAtK, Recorded, parse_metric, pass_by_problem, recorded_series
from sweeps.spec.study import Study

if TYPE_CHECKING:
    import optuna
    import pandas as pd

_FACTOR = 3  # of the trials that reach a rung, one in so many goes on; a rung is so many times as far as the one before
_P_VALUE = 0.1  # Optuna's own default


class Pruner(Protocol):
    """One way to prune. `seed_by_seed`: it judges whole runs, so a trial's seeds start one after the other."""

    seed_by_seed: bool

    def algorithm(self) -> optuna.pruners.BasePruner: ...

    def report(self, trial: optuna.Trial, run: runs.Run, *, index: int) -> str | None:
        """Tell Optuna what the run has recorded since; why the trial is to be pruned, None if it is not.

        Args:
            run: the trial's run with its index-th seed, which may be at work or have ended.
        """
        ...


class SuccessiveHalving:
    """Asynchronous successive halving over steps. Trials are compared on the same seed, the study's first."""

    seed_by_seed = False

    def __init__(self, metric: Recorded, *, num_steps: int) -> None:
        self._metric, self._num_steps = metric, num_steps
        self._reported: dict[int, int] = {}  # trial → last step

    def algorithm(self) -> optuna.pruners.BasePruner:
        import optuna

        first_rung = math.ceil(self._num_steps / _FACTOR**2)
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first_rung, reduction_factor=_FACTOR)

    def report(self, trial: optuna.Trial, run: runs.Run, *, index: int) -> str | None:
        if index > 0:
            return None
        values = _so_far(recorded_series(run, self._metric.column), self._metric.how)
        new = values[values.index > self._reported.get(trial.number, -1)]
        for step, value in zip(new.index.astype(int).tolist(), new.tolist(), strict=True):
            self._reported[trial.number] = step
            trial.report(value, step)
            if trial.should_prune():
                return f"not among the best third at step {step}"
        return None


class Wilcoxon:
    """The signed-rank test between a trial and the best one, over the problems of the seeds that both have."""

    seed_by_seed = True

    def __init__(self, metric: PassAtK, *, num_seeds: int) -> None:
        self._metric, self._num_seeds = metric, num_seeds

    def algorithm(self) -> optuna.pruners.BasePruner:
        import optuna

        with warnings.catch_warnings():  # that it is experimental
            warnings.simplefilter("ignore")
            # tested after every seed but the last
            return optuna.pruners.WilcoxonPruner(p_threshold=_P_VALUE / (self._num_seeds - 1))

    def report(self, trial: optuna.Trial, run: runs.Run, *, index: int) -> str | None:
        values_P = pass_by_problem(run, self._metric) if run.status == "done" else None
        if values_P is None:
            return None
        for problem, value in enumerate(values_P):
            trial.report(float(value), index * len(values_P) + problem)
        with warnings.catch_warnings():  # of the first trials, which have nothing to be compared with
            warnings.simplefilter("ignore")
            return "worse than the best trial, problem by problem" if trial.should_prune() else None


def make_pruner(study: Study, config: Mapping[str, Any]) -> Pruner | None:
    """The study's pruner; None if it has none.

    Args:
        config: the frozen config of some run of the study.

    Raises:
        PlanError: the study cannot be pruned so.
    """
    assert study.search is not None
    if study.search.pruner is None:
        return None
    if study.resources.engine != "local":
        raise PlanError([f"search.pruner stops runs of this machine, not of {study.resources.engine}; leave it out"])
    name, metric = f"search.pruner = {study.search.pruner}", study.objective[0].metric
    wanted = parse_metric(metric)
    if study.search.pruner == "successive_halving":
        if isinstance(wanted, PassAtK):
            raise PlanError(
                [f"{name} needs an objective that is recorded step by step, such as metrics.greedy_accuracy:last, "
                 f"but {metric} is known at the end of a run"]
            )  # fmt: skip
        return SuccessiveHalving(wanted, num_steps=config["train"]["num_steps"])
    if not isinstance(wanted, PassAtK):
        raise PlanError([f"{name} compares problems, so its objective must be pass@<k>/<benchmark>, not {metric}"])
    if len(study.seeds) < 2:
        raise PlanError([f"{name} spares a trial's further seeds, but seeds lists one; list more, or leave it out"])
    return Wilcoxon(wanted, num_seeds=len(study.seeds))


def _so_far(series: pd.Series, how: str) -> pd.Series:
    """The column as a run that ended at each step would have it."""
    grown = series.expanding()
    return {"last": lambda: series, "mean": grown.mean, "max": grown.max, "min": grown.min}[how]()
