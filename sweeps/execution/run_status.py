"""What is written of a run before its process starts and after it has ended, and how it ended by that.

meta.json of a run that failed or diverged has `failure: {"class": str, "attempt": int}`: see failures.py, and how
many of its attempts have failed, this one included. The count goes on when a sweep is continued, and begins anew when a
run that had failed for good is executed again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agrae_lab import runs
from sweeps.execution import failures
from sweeps.execution.retry_policy import Policy
from sweeps.execution.worker import BUSY_EXIT

BUSY = "busy"  # outcome of a run in whose directory another process is at work
LOCK_SECONDS = 5.0  # for what a killed process leaves behind to go


@dataclass(frozen=True)
class Ending:
    """What was seen of the end of a run's process."""

    exit_code: int | None  # None: the server it was forked from had died
    asked: str | None = None  # "stop" or "timeout": why it was sent SIGTERM
    out_of_memory: bool = False  # the kernel killed some process for want of memory meanwhile
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended in this launch: one of runs.STATUSES, or BUSY. `run` is as it stands then."""

    run: runs.Run
    status: str
    seconds: float


def with_fresh_count(run: runs.Run) -> runs.Run:
    """The run as planned, its earlier failures forgiven if it had failed for good."""
    return replace(run, meta={**run.meta, "failure": None}) if run.status == "failed" else run


def claim(run: runs.Run) -> Outcome | None:
    """None if the run is ours to start, else what another controller made of it since we planned.

    Raises:
        RunError, OSError: the run directory cannot be read or written.
    """
    try:
        with runs.lock(run.path):
            found = runs.read_run(run.path)
            if found.status in runs.FINAL_STATUSES:
                return Outcome(found, found.status, 0.0)
            failure = run.meta.get("failure")
            noted = {} if failure == found.meta.get("failure") else {"failure": failure}
            runs.update_meta(run.path, status="pending", error=None, **noted)
            return None
    except runs.RunBusyError:
        return Outcome(runs.read_run(run.path), BUSY, 0.0)


def not_started(run: runs.Run, error: Exception) -> Outcome:
    """The run has failed before it had a process; nothing is written, since that may be what failed."""
    return _outcome(run, _failed(run, _text(error), exit_code=None), seconds=0.0)


def record_end(run: runs.Run, ending: Ending, policy: Policy) -> Outcome:
    """Write how a run ended, as far as it has not itself; "pending" where it will be tried again.

    Args:
        run: as it was claimed.
    """
    if ending.exit_code == BUSY_EXIT:
        return Outcome(run, BUSY, ending.seconds)
    found, changes = run, dict[str, Any]()
    try:
        with _lock_soon(run.path):
            found = runs.read_run(run.path)
            changes = _changes(run, found, ending, policy)
            if changes:
                again = {} if policy.retry_pause(changes) is None else {"status": "pending"}
                runs.update_meta(run.path, **{**changes, **again})
    except runs.RunBusyError:
        return Outcome(found, BUSY, ending.seconds)
    except (runs.RunError, OSError) as error:  # a full disk, say: on disk the run is cut off
        changes = changes or _failed(run, _text(error), exit_code=None)
    return _outcome(found, changes, seconds=ending.seconds)


def settled(outcome: Outcome) -> Outcome:
    """A run that was busy elsewhere may have been finished there by now."""
    if outcome.status == BUSY:
        with suppress(runs.RunError):
            run = runs.read_run(outcome.run.path)
            if run.status in runs.FINAL_STATUSES:
                return Outcome(run, run.status, outcome.seconds)
    return outcome


def _changes(claimed: runs.Run, found: runs.Run, ending: Ending, policy: Policy) -> dict[str, Any]:
    error = found.meta.get("error")
    if found.status == "diverged":
        return _failed(claimed, error, ending.exit_code, status="diverged")
    if found.status in runs.FINAL_STATUSES:
        return {}
    if ending.asked == "stop":  # an error in the middle of stopping is our doing
        return {"status": "interrupted"} if found.status == "failed" else {"status": "interrupted", "error": None}
    if ending.asked == "timeout":
        assert policy.timeout_seconds is not None
        error = failures.timed_out(policy.timeout_seconds)
    elif found.status != "failed":
        error = failures.died(ending.exit_code, out_of_memory=ending.out_of_memory)
    return _failed(claimed, error, ending.exit_code)


def _failed(run: runs.Run, error: str | None, exit_code: int | None, *, status: str = "failed") -> dict[str, Any]:
    failed_before = (run.meta.get("failure") or {}).get("attempt", 0)
    failure = {"class": failures.classify(exit_code, error, status), "attempt": failed_before + 1}
    return {"status": status, "error": error, "failure": failure}


def _outcome(run: runs.Run, changes: Mapping[str, Any], *, seconds: float) -> Outcome:
    run = replace(run, meta={**run.meta, **changes})
    return Outcome(run, run.status, seconds)


@contextmanager
def _lock_soon(path: Path) -> Iterator[None]:
    """The run's lock, which what has just been killed may hold for a moment longer."""
    give_up = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < give_up and runs.Run(path, {}).is_locked():
        time.sleep(0.02)
    with runs.lock(path):
        yield


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
