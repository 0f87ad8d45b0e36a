"""Freezing: cells → frozen configs on disk → unfinished runs.

Every cell is composed, validated and written before the first run starts. A YAML file edited later, or another
branch checked out, does not reach the waiting runs, and an error in the last cell costs no GPU-hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from agrae_lab import runs
from sweeps.errors import CONFIG_ERRORS, PlanError, one_sentence, reraise_if_full_error
from sweeps.planning.factors import warning_of_runs
from sweeps.spec.experiments import Cell

Freeze = Callable[[DictConfig], dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """Runs and manifests of a launch. Nothing is on disk until `write`."""

    planned: tuple[runs.Run, ...]  # equal cells once, in order of first mention
    experiments: tuple[tuple[Path, runs.Experiment], ...]  # (root, manifest)

    @property
    def finished(self) -> list[runs.Run]:
        """Return the runs that are not started again."""
        return [run for run in self.planned if run.status in runs.FINAL_STATUSES]

    @property
    def todo(self) -> list[runs.Run]:
        """Return the runs that are not finished."""
        return [run for run in self.planned if run.status not in runs.FINAL_STATUSES]

    @property
    def warnings(self) -> list[str]:
        """Return the warnings of experiments whose arms differ from the reference in several factors."""
        by_key = {run.key: run for run in self.planned}
        found = [
            warning_of_runs([by_key[key] for key in experiment.runs], experiment.comparison)
            for _, experiment in self.experiments
            if any(run.key in experiment.runs for run in self.todo)
        ]
        return [sentence for sentence in found if sentence is not None]

    def write(self) -> None:
        """Write the configs of the unfinished runs, then the manifests of the experiments."""
        for run in self.todo:
            runs.create_run(run.config)
        for root, experiment in self.experiments:
            experiment.write(root)


def make_plan(cells: Sequence[Cell], freeze: Freeze) -> Plan:
    """Compose and validate every cell, and compare it with the run on disk. Nothing is written.

    Args:
        cells: in the order in which the runs start.
        freeze: composed config → resolved plain dict; raises ValueError with one sentence for a bad config.

    Raises:
        PlanError: a bad cell, or a run directory of another configuration; one sentence for each fault.
    """
    configs = freeze_all(cells, freeze)
    return Plan(plan_runs(configs), _manifests(configs))


def plan_runs(configs: Iterable[dict[str, Any]]) -> tuple[runs.Run, ...]:
    """Return the runs of frozen configs with their status on disk, equal ones once.

    Raises:
        PlanError: a run directory of another configuration.
    """
    planned: dict[Path, runs.Run] = {}
    faults: dict[Path, str] = {}
    for config in configs:
        run_dir = runs.run_dir_for(config)
        try:
            if run_dir in planned:
                config = runs.joined_evaluations(planned[run_dir].config, config)
            run = _run_on_disk(run_dir, config)
            runs.check_same_run(run, config)
        except runs.RunError as error:
            faults[run_dir] = str(error)
            continue
        lacks_evaluations = run.status in runs.FINAL_STATUSES and not runs.is_finished(run, config)
        meta = {**run.meta, "status": "pending"} if lacks_evaluations else run.meta
        planned[run_dir] = replace(run, config=config, meta=meta)
    if faults:
        raise PlanError(faults.values())
    return tuple(planned.values())


def freeze_all(cells: Sequence[Cell], freeze: Freeze) -> list[dict[str, Any]]:
    """Return the resolved configs of all cells.

    Raises:
        PlanError: one sentence for each different fault, with the first cell that has it.
    """
    frozen = []
    faulty: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        try:
            frozen.append(freeze(cell.compose()))
        except CONFIG_ERRORS as error:
            reraise_if_full_error(error)
            faulty[one_sentence(error)].append(cell.label)
    if faulty:
        raise PlanError(
            f"{labels[0]}{f' (and {len(labels) - 1} more)' if len(labels) > 1 else ''}: {message}"
            for message, labels in faulty.items()
        )
    return frozen


def _run_on_disk(run_dir: Path, config: dict[str, Any]) -> runs.Run:
    return runs.read_run(run_dir) if (run_dir / "config.yaml").exists() else runs.Run(run_dir, config)


def _manifests(configs: Sequence[Mapping[str, Any]]) -> tuple[tuple[Path, runs.Experiment], ...]:
    """Return (root, manifest) of each experiment that the configs name, with its runs; a config may name none."""
    questions: dict[tuple[Path, str], str] = {}
    comparisons: dict[tuple[Path, str], runs.Comparison | None] = {}
    arms: dict[tuple[Path, str], dict[str, str]] = defaultdict(dict)  # run key → arm
    for config in configs:
        experiment = config.get("experiment") or {}
        if experiment.get("name"):
            manifest = (Path(config["root"]), str(experiment["name"]))
            questions[manifest] = str(experiment.get("question") or "")
            comparisons[manifest] = runs.Comparison.of(experiment)
            run = runs.Run(runs.run_dir_for(config), dict(config))
            arms[manifest].setdefault(run.key, run.arm)
    for (root, name), comparison in comparisons.items():
        check_comparison(comparison, arms[root, name].values(), where=f"{name}: experiment")
    return tuple(
        (root, runs.Experiment(name, question, tuple(arms[root, name]), arms[root, name], comparisons[root, name]))
        for (root, name), question in questions.items()
    )


def check_comparison(comparison: runs.Comparison | None, arms: Iterable[str], *, where: str) -> None:
    """Check that a comparison names arms of its experiment or study.

    Raises:
        PlanError: it does not.
    """
    try:
        if comparison is not None:
            comparison.check_arms(list(arms))
    except ValueError as error:
        raise PlanError([f"{where}.{error}"]) from error
