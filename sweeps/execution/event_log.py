"""Event log of a study: a display that also writes its events to the study's directory."""

from __future__ import annotations

from collections.abc import Collection

from agrae_lab import runs
from sweeps.execution.executor import ActiveRun, Display
from sweeps.execution.run_status import Outcome
from sweeps.execution.shutdown import StopLevel
from sweeps.planning.study_directory import StudyDirectory


class LoggedDisplay:
    """Display that writes each event, except ticks, to the study's directory before showing it."""

    def __init__(self, display: Display, directory: StudyDirectory) -> None:
        self._display, self._directory = display, directory

    def started(self, run: runs.Run) -> None:
        self._directory.log("started", run=run.key)
        self._display.started(run)

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        self._display.tick(active, num_waiting)

    def stopping(self, level: StopLevel, num_active: int, reason: str) -> None:
        self._directory.log("stopping", how=level.name.lower(), why=reason)
        self._display.stopping(level, num_active, reason)

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._directory.log("retrying", run=outcome.run.key, failure=outcome.run.meta.get("failure"), pause=pause)
        self._display.retrying(outcome, pause)

    def ended(self, outcome: Outcome) -> None:
        self._directory.log("ended", run=outcome.run.key, status=outcome.status, seconds=round(outcome.seconds, 3))
        self._display.ended(outcome)
