"""What a display is told, written to a study's events as well."""

from __future__ import annotations

from collections.abc import Collection

from agrae_lab import runs
from sweeps.execution.executor import ActiveRun, Display
from sweeps.execution.run_status import Outcome
from sweeps.execution.shutdown import Halt
from sweeps.planning.study_directory import Ledger


class LoggedDisplay:
    """A display whose news, all but the ticks, go to the ledger first."""

    def __init__(self, display: Display, ledger: Ledger) -> None:
        self._display, self._ledger = display, ledger

    def started(self, run: runs.Run) -> None:
        self._ledger.log("started", run=run.key)
        self._display.started(run)

    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None:
        self._display.tick(active, num_waiting)

    def stopping(self, level: Halt, num_active: int, why: str) -> None:
        self._ledger.log("stopping", how=level.name.lower(), why=why)
        self._display.stopping(level, num_active, why)

    def retrying(self, outcome: Outcome, pause: float) -> None:
        self._ledger.log("retrying", run=outcome.run.key, failure=outcome.run.meta.get("failure"), pause=pause)
        self._display.retrying(outcome, pause)

    def ended(self, outcome: Outcome) -> None:
        self._ledger.log("ended", run=outcome.run.key, status=outcome.status, seconds=round(outcome.seconds, 3))
        self._display.ended(outcome)
