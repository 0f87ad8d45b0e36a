"""When a run is tried again, and when a sweep is given up: the stop rules of a study as the executor takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.execution.failures import TRANSIENT
from sweeps.execution.shutdown import Halt

RETRY_SECONDS = 30.0  # what is broken around a run takes a while to be repaired


@dataclass(frozen=True)
class Policy:
    """Failures counted here are runs that failed for good. One that diverged has not: it has given its answer."""

    retries: int = 1  # further attempts at a run whose failure is transient
    timeout_seconds: float | None = None  # of one attempt, less the time it waits for another run's work
    fail_fast: bool = False  # the first failure stops the active runs too
    max_failures: int | None = None  # so many failures, and nothing more is started; what is active finishes
    deadline_seconds: float | None = None  # of the whole launch; then the active runs are stopped, to be continued

    def retry_pause(self, meta: Mapping[str, Any]) -> float | None:
        """Seconds until a run that ended so is tried again, None if it is not."""
        if meta["status"] != "failed":
            return None
        name, attempt = meta["failure"]["class"], meta["failure"]["attempt"]
        if name not in TRANSIENT or attempt > self.retries:
            return None
        return RETRY_SECONDS * attempt if name == "infrastructure" else 0.0

    def give_up(self, num_failed: int) -> tuple[Halt, str]:
        """How far the failures so far stop the sweep, and why."""
        if self.fail_fast and num_failed:
            return Halt.STOP, "a run has failed (fail_fast)"
        if self.max_failures is not None and num_failed >= self.max_failures:
            return Halt.DRAIN, f"{num_failed} failed (max_failures)"
        return Halt.NO, ""

    def is_over(self, elapsed: float) -> bool:
        return self.deadline_seconds is not None and elapsed >= self.deadline_seconds
