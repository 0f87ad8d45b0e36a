"""Tuning of a protocol: one search for each arm, in a root of its own, and the settings that it chose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.errors import PlanError
from sweeps.inspect.trials import num_trials_left, read_trials
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec.axes import Settings
from sweeps.spec.study import Study


@dataclass(frozen=True)
class Choice:
    """Settings of an arm's best trial, and the trials that it is the best of."""

    settings: Settings
    metric: str
    value: float  # mean over the tuning seeds
    seeds: tuple[int, ...]
    num_trials: int
    num_without_value: int  # trials without a value, for example diverged ones


def tuning_root(root: Path) -> Path:
    """Return the root of the tuning runs, apart from the confirmation's."""
    return root / "tuning"


def tuning_directory(study: Study, directory: StudyDirectory, arm: str) -> StudyDirectory:
    """Return the directory of an arm's search."""
    return StudyDirectory(tuning_root(directory.root), f"{study.name}-{arm}")


def num_trials_to_run(tuning: Study, directory: StudyDirectory) -> int:
    """Return the number of trials of a search that are still to run; failed trials count as ended."""
    assert tuning.search is not None
    return num_trials_left(tuning.search, directory)


def choose_settings(tuning: Study, directory: StudyDirectory, arm: str) -> Choice:
    """Return the settings of the best trial; of equally good ones, the first.

    Raises:
        PlanError: no trial has a value.
    """
    rows = [row for row in read_trials(directory) if row["status"] != "requeued"]
    metric = tuning.objective[0].metric
    best = next((row for row in rows if row["front"] == "yes"), None)  # with one objective the front is the best trial
    if best is None:
        raise PlanError(
            [f"no trial of {arm} has a value, so nothing can be chosen; see {directory.path / 'trials.csv'}"]
        )
    cells: dict[str, Any] = {cell.run: cell.settings for cell in directory.frozen_cells().values()}
    settings = cells[best["runs"].split()[0]]
    without = sum(row[f"maximize {metric}"] == "" for row in rows)
    return Choice(settings, metric, float(best[f"maximize {metric}"]), tuning.seeds, len(rows), without)
