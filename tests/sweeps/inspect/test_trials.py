"""Trials of a search as its table has them: counts of what is left, failed runs, and the best."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agrae_lab import runs
from sweeps.inspect.trials import failed_runs, no_front_sentence, num_trials_left, print_front
from sweeps.planning.study_directory import StudyDirectory
from sweeps.search.table import FILE_NAME, write_table
from sweeps.spec.study import Search

SEARCH = Search("random", 6, {})


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return StudyDirectory(tmp_path, "quest")


def write(directory: StudyDirectory, *trials: dict[str, Any]) -> None:
    """Write trials.csv with rows of these cells; each has a run for each of its statuses."""
    rows = []
    for number, trial in enumerate(trials):
        paths = []
        for seed, status in enumerate(trial.pop("runs", ())):
            config = {"schema_version": 1, "root": str(directory.root), "arm": "trial", "seed": seed, "x": number}
            paths.append(runs.create_run(config))
            runs.update_meta(paths[-1], status=status)
        keys = " ".join(runs.read_run(path).key for path in paths)
        rows.append({"trial": number, "front": "no", "feasible": "", "reason": "", "runs": keys, **trial})
    directory.path.mkdir(parents=True)
    write_table(rows, directory.path / FILE_NAME)


def test_a_retry_runs_the_trials_with_a_failed_run_alone(directory: StudyDirectory) -> None:
    write(
        directory,
        {"status": "failed", "runs": ["done", "failed"]},
        {"status": "failed", "runs": ["diverged", "done"]},
        {"status": "failed", "runs": ["done", "done"], "reason": "the loss is inf, which is not a finite number"},
        {"status": "failed", "reason": "train.x must lie in [0, 1]"},  # no run was made of it
        {"status": "done", "runs": ["done", "done"]},
        {"status": "requeued", "runs": ["failed", "done"]},
    )
    assert num_trials_left(SEARCH, directory) == 1
    assert num_trials_left(SEARCH, directory, failed_too=True) == 2
    assert [run.seed for run in failed_runs(directory)] == [1]


@pytest.mark.parametrize(
    ("trials", "sentence"),
    [
        ([], "no trial has a value yet"),
        ([{"status": "failed"}, {"status": "running"}], "no trial has a value yet"),
        ([{"status": "done", "feasible": "no"}, {"status": "failed"}], "no trial satisfies the constraints"),
        ([{"status": "pruned", "feasible": "no"}], "no trial has a value yet"),
    ],
)
def test_an_empty_front_has_its_reason(trials: list[dict[str, str]], sentence: str, directory: StudyDirectory) -> None:
    write(directory, *map(dict, trials))
    with (console := Console(width=200)).capture() as shown:
        print_front(console, directory)
    assert sentence in shown.get()
    assert no_front_sentence([{"feasible": "", **trial} for trial in trials]) == sentence
