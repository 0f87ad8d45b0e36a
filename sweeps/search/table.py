"""Table of trials: trials.csv in the study's directory, with a row for each trial, rewritten on every change.

    trial, status, front, feasible, attempt, retry_of, reason, runs
    param <key>                                 empty where the trial's config lacks the key
    maximize <metric>, minimize <metric>        the trial's value: the mean over its seeds
    constraint <metric>                         mean over the seeds
    seed <n> <metric>                           the value of one run

status: done, failed, pruned, running, waiting, or requeued (a later row has its number as `retry_of`).
front: on the Pareto front of the feasible trials; with one objective, the best trial.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agrae_lab import runs
from sweeps.search.space import rounded_value
from sweeps.spec.objectives import study_metrics
from sweeps.spec.study import Study

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FILE_NAME = "trials.csv"
_STATUSES = {"COMPLETE": "done", "FAIL": "failed", "PRUNED": "pruned", "RUNNING": "running", "WAITING": "waiting"}

Row = dict[str, Any]


def trial_rows(study: Study, optuna_study: optuna.Study) -> list[Row]:
    """Return the rows of trials.csv."""
    trials = optuna_study.get_trials(deepcopy=False)
    requeued = {trial.user_attrs.get("retry_of") for trial in trials}
    front = _front(study, optuna_study)
    return [_row(study, trial, front=front, requeued=trial.number in requeued) for trial in trials]


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write or replace trials.csv."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with runs.replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of trials.csv as text; [] before the first trial."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _front(study: Study, optuna_study: optuna.Study) -> set[int]:
    """Return the numbers of the trials on the Pareto front.

    A pruned trial is not on it and keeps no other off it: its mean is of fewer seeds.
    """
    if len(study.objective) > 1:  # with which no pruner goes
        return {trial.number for trial in optuna_study.best_trials}
    trials = optuna_study.get_trials(deepcopy=False)
    whole = [trial for trial in trials if trial.state.name == "COMPLETE" and "pruned" not in trial.user_attrs]
    feasible = [trial for trial in whole if _is_feasible(trial) == "yes"]
    best = (max if study.objective[0].direction == "maximize" else min)((t.values[0] for t in feasible), default=None)
    return {trial.number for trial in feasible if trial.values[0] == best}


def _row(study: Study, trial: FrozenTrial, *, front: set[int], requeued: bool) -> Row:
    assert study.search is not None
    attributes = trial.user_attrs
    values: Mapping[str, Sequence[float]] = attributes.get("values", {})
    pruning_reason = attributes.get("pruned")
    status = "requeued" if requeued else "pruned" if pruning_reason else _STATUSES[trial.state.name]
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
    row: Row = {
        "trial": trial.number,
        "status": status,
        "front": "yes" if trial.number in front else "no",
        "feasible": _is_feasible(trial) if values else "",
        "attempt": attributes.get("attempt", 1),
        "retry_of": attributes.get("retry_of", ""),
        "reason": attributes.get("reason") or pruning_reason or "",
        "runs": " ".join(attributes.get("runs", ())),
    }
    for key, dimension in study.search.space.items():
        row[f"param {key}"] = rounded_value(dimension, params[key]) if key in params else ""
    row |= {f"{o.direction} {o.metric}": _mean(values.get(o.metric)) for o in study.objective}
    row |= {f"constraint {constraint.metric}": _mean(values.get(constraint.metric)) for constraint in study.constraints}
    for metric in study_metrics(study):
        for i, seed in enumerate(study.seeds):
            known = values.get(metric, ())
            row[f"seed {seed} {metric}"] = known[i] if i < len(known) else ""
    return row


def _is_feasible(trial: FrozenTrial) -> str:
    return "no" if any(v > 0 for v in trial.constraints.values()) else "yes"  # Optuna: above 0 is violated


def _mean(values: Sequence[float] | None) -> float | str:
    return sum(values) / len(values) if values else ""
