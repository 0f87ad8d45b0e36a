"""A search from its opening to its end, in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from agrae_lab import runs
from sweeps.execution.executor import ActiveRun, Display
from sweeps.execution.run_status import Outcome
from sweeps.execution.shutdown import Halt
from sweeps.execution.worker import GRACE_SECONDS
from sweeps.planning.drift import Code
from sweeps.planning.study_directory import Ledger
from sweeps.search.pruning import make_pruner
from sweeps.search.space import Space, fingerprint
from sweeps.search.storage import default_url, open_study, storage_at, storage_in_use, take_up
from sweeps.search.trials import Trials
from sweeps.spec.study import Study

if TYPE_CHECKING:
    import optuna

# An engine with everything but what to run and whom to tell: a partial of executor.run_all, say.
Carry = Callable[..., tuple[list[Outcome], bool]]


def run_search(
    study: Study,
    space: Space,
    *,
    ledger: Ledger,
    code: Code,
    carry: Carry,
    display: Display,
    storage: str | None = None,
    failed_too: bool = False,
) -> tuple[list[Outcome], bool]:
    """Carry a search through, or on, until it has its number of trials; trials.csv has them.

    Args:
        space: of this study, as make_space gives it.
        ledger: of this study, and held by the caller.
        code: that the runs are frozen under.
        carry: called with `todo` and `display`.
        display: told of the runs as by the engine alone.
        storage: an Optuna storage URL; None: a SQLite file in the study's directory.
        failed_too: ask the trials again that ended because a run failed.

    Returns:
        what the engine returns: how the runs ended that were executed, and whether a person or the clock stopped it.

    Raises:
        PlanError: before anything is started: the storage cannot be used, or holds a search that was begun otherwise,
            or this study cannot be pruned.
        RunError: the storage has failed meanwhile; the runs that were at work were stopped.
    """
    pruner = make_pruner(study, space.config(next(space.corners()), seed=study.seeds[0]))
    facts = fingerprint(study, space)
    if storage is not None:  # which other roots may share, and only one controller may write to a study
        facts["the study's directory"] = str(ledger.path.resolve())
    with storage_at(storage or default_url(ledger.path)) as opened_storage:
        opened = open_study(study, opened_storage, facts)
        if pruner is not None:
            opened.pruner = pruner.algorithm()
        _wait_for_orphans(ledger, opened)
        take_up(opened, failed_too=failed_too)
        trials = Trials(study, space, opened, ledger=ledger, code=code, pruner=pruner)
        trials.write_table()
        link = _Link(trials, display)
        with storage_in_use():
            outcomes, interrupted = carry(link, display=link)
            take_up(opened)  # what was stopped is not at work any more
            trials.write_table()
    return outcomes, interrupted


class _Link(Iterator[runs.Run]):
    """All that the engine sees of the trials: it takes its runs from here, and tells its news here first."""

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

    def stopping(self, level: Halt, num_active: int, why: str) -> None:
        self._display.stopping(level, num_active, why)

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._display.retrying(outcome, pause)

    def ended(self, outcome: Outcome) -> None:
        self._trials.ended(outcome)
        self._display.ended(outcome)


def _wait_for_orphans(ledger: Ledger, opened: optuna.Study) -> None:
    """The runs of a controller that died stop by themselves; until then their trials cannot be taken up."""
    at_work: Iterable[str] = (
        key
        for trial in opened.get_trials(deepcopy=False)
        if trial.state.name == "RUNNING"
        for key in trial.user_attrs.get("runs", ())
    )
    give_up = time.monotonic() + 2 * GRACE_SECONDS
    for key in at_work:
        run = runs.Run(ledger.root / key, {})
        while run.path.is_dir() and run.is_locked() and time.monotonic() < give_up:
            time.sleep(0.1)
