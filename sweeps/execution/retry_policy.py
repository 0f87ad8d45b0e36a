"""Retry policy of a sweep: rules for retrying a run and for ending the sweep early, from a study's stop rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.execution.failures import TRANSIENT
from sweeps.execution.shutdown import StopLevel

RETRY_SECONDS = 30.0  # times the number of failed attempts, after an infrastructure failure


@dataclass(frozen=True)
class RetryPolicy:
    """Rules of retries and of ending early.

    A run counts as failed only after its last attempt. A diverged run does not count as failed.
    """

    retries: int = 1  # of a run whose failure is transient
    timeout_seconds: float | None = None  # of one attempt, without the time it waits for a lock
    fail_fast: bool = False  # stop the active runs after the first failure
    max_failures: int | None = None  # start no more runs once this many have failed
    deadline_seconds: float | None = None  # of the whole launch; then stop the active runs

    def retry_pause(self, meta: Mapping[str, Any]) -> float | None:
        """Return the seconds until the next attempt at a run with this meta.json; None if it is not retried."""
        if meta["status"] != "failed":
            return None
        name, attempt = meta["failure"]["class"], meta["failure"]["attempt"]
        if name not in TRANSIENT or attempt > self.retries:
            return None
        return RETRY_SECONDS * attempt if name == "infrastructure" else 0.0

    def stop_level(self, num_failed: int) -> tuple[StopLevel, str]:
        """Return the stop level once `num_failed` runs have failed, and its reason."""
        if self.fail_fast and num_failed:
            return StopLevel.STOP, "a run has failed (fail_fast)"
        if self.max_failures is not None and num_failed >= self.max_failures:
            failed = "1 run has failed" if num_failed == 1 else f"{num_failed} runs have failed"
            return StopLevel.DRAIN, f"{failed} (max_failures)"
        return StopLevel.NONE, ""

    def deadline_passed(self, elapsed: float) -> bool:
        """Return True once the launch has taken its whole time."""
        return self.deadline_seconds is not None and elapsed >= self.deadline_seconds
