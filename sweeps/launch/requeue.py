"""Retries of a study: the runs to retry, the plan that executes them alone, and their requeueing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from agrae_lab import runs
from sweeps.inspect.trials import failed_runs
from sweeps.planning.freeze import Plan
from sweeps.planning.plan import StudyPlan
from sweeps.planning.run_dirs import read_run_meta
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.study import Study


def runs_with(statuses: Collection[str], study: Study, directory: StudyDirectory) -> list[runs.Run]:
    """Return the runs with these statuses, of the frozen cells that the study still has; a search retries failed ones.

    Raises:
        agrae_lab.runs.RunError: a run that cannot be read.
    """
    if study.search is not None:
        return failed_runs(directory)
    keys = dict.fromkeys(cell.run for cell in directory.frozen_cells_of(study))
    return [run for key in keys if (run := read_run_meta(directory.root / key)).status in statuses]


def only_retries(planned: StudyPlan, retry: Collection[str]) -> Plan:
    """Return the plan's finished runs, and those of the cells that were frozen as runs to retry.

    A cell can be another run by now, under changed code or problems.
    """
    retried_cells = {cell.identifier for cell in planned.directory.frozen_cells().values() if cell.run in retry}
    retried = {cell.run for cell in planned.cells if cell.identifier in retried_cells}
    plan = planned.launch_plan
    kept = tuple(run for run in plan.planned if run.status in runs.FINAL_STATUSES or run.key in retried)
    return replace(plan, planned=kept)


def requeue(directory: StudyDirectory, retry: Sequence[runs.Run]) -> None:
    """Mark runs as pending, without their failure counts, so that they get all their attempts."""
    for run in retry:
        with suppress(runs.RunBusyError), runs.lock(run.path):
            runs.update_meta(run.path, status="pending", error=None, failure=None)
    if retry:
        directory.log("requeued", runs=[run.key for run in retry])
