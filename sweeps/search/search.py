"""A whole search in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator

import optuna

from agrae_lab import runs
from sweeps.execution.executor import ActiveRun, Display
from sweeps.execution.run_status import Outcome
from sweeps.execution.shutdown import StopLevel
from sweeps.execution.worker import GRACE_SECONDS
from sweeps.planning.drift import Code
from sweeps.planning.study_directory import StudyDirectory
from sweeps.search.pruning import make_pruner
from sweeps.search.space import Space, fixed_settings
from sweeps.search.storage import default_url, open_study, requeue_unfinished_trials, storage_at, storage_in_use
from sweeps.search.trials import Trials
from sweeps.spec.study import Study

# An engine's run_all with all arguments but `todo` and `display`.
RunAll = Callable[..., tuple[list[Outcome], bool]]


def run_search(
    study: Study,
    space: Space,
    *,
    directory: StudyDirectory,
    code: Code,
    run_all: RunAll,
    display: Display,
    storage: str | None = None,
    failed_too: bool = False,
) -> tuple[list[Outcome], bool]:
    """Start or resume a search until it has its number of trials, and write trials.csv.

    Args:
        space: of this study, from make_space.
        directory: of this study; the caller holds its lock.
        code: the code under which the runs are frozen.
        run_all: executes the runs.
        display: receives the events of the runs.
        storage: an Optuna storage URL; None: a SQLite file in the study's directory.
        failed_too: also run the trials again that ended because a run failed.

    Returns:
        the outcomes of the executed runs, and True if the user or the clock stopped the search.

    Raises:
        PlanError: nothing was started: the storage cannot be used, or has a different search of this name, or the
            pruner does not fit the study.
        RunError: the storage has failed; the active runs were stopped.
    """
    pruner = make_pruner(study, space.corner_configs[0])
    fixed = fixed_settings(study, space)
    if storage is not None:  # shared with other roots, perhaps, but a study has one controller
        fixed["the study's directory"] = str(directory.path.resolve())
    url = storage or default_url(directory.path)
    with storage_at(url) as opened_storage:
        with storage_in_use(url):
            opened = open_study(study, opened_storage, fixed)
            if pruner is not None:
                opened.pruner = pruner.algorithm()
            _wait_for_orphans(directory, opened)
            requeue_unfinished_trials(opened, failed_too=failed_too)
        trials = Trials(study, space, opened, directory=directory, code=code, pruner=pruner)
        trials.write_table()
        trial_runs = _TrialRuns(trials, display)
        with storage_in_use(url):
            outcomes, interrupted = run_all(trial_runs, display=trial_runs)
            requeue_unfinished_trials(opened)
            trials.write_table()
    return outcomes, interrupted


class _TrialRuns(Iterator[runs.Run]):
    """Link between engine and trials: an iterator over the runs to execute, and a display that reports their events."""

    def __init__(self, trials: Trials, display: Display) -> None:
        self._trials, self._display = trials, display

    def __next__(self) -> runs.Run:
        run = self._trials.next_run()
        if run is None:
            raise StopIteration
        return run

    def __length_hint__(self) -> int:
        return self._trials.num_left()

    def started(self, run: runs.Run) -> None:
        self._display.started(run)

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        self._trials.watch(active)
        self._display.tick(active, num_waiting)

    def stopping(self, level: StopLevel, num_active: int, reason: str) -> None:
        self._display.stopping(level, num_active, reason)

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._display.retrying(outcome, pause)

    def ended(self, outcome: Outcome) -> None:
        self._display.ended(self._trials.ended(outcome))


def _wait_for_orphans(directory: StudyDirectory, opened: optuna.Study) -> None:
    """Wait for the runs of a dead controller, which stop by themselves, so that their trials can be requeued."""
    active_runs: Iterable[str] = (
        key
        for trial in opened.get_trials(deepcopy=False)
        if trial.state.name == "RUNNING"
        for key in trial.user_attrs.get("runs", ())
    )
    deadline = time.monotonic() + 2 * GRACE_SECONDS
    for key in active_runs:
        run = runs.Run(directory.root / key, {})
        while run.path.is_dir() and run.is_locked() and time.monotonic() < deadline:
            time.sleep(0.1)
