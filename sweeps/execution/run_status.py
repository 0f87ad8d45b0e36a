"""Status bookkeeping of a run: the controller's entries in meta.json before a worker starts and after it exits.

meta.json of a failed or diverged run has `failure: {"class": str, "attempt": int}`: the class (see failures.py), and
the number of failed attempts, this one included. A resumed sweep keeps counting; a run with status failed (no attempt
left) starts again from zero.
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
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.worker import BUSY_EXIT

BUSY = "busy"  # outcome of a run that another process executes
LOCK_SECONDS = 5.0  # until the children of a killed process have gone


@dataclass(frozen=True)
class ProcessExit:
    """Exit of a run's process, as the controller saw it."""

    exit_code: int | None  # None: the fork server had died, and nobody has the code
    terminated_for: str | None = None  # "stop" or "timeout": the reason of SIGTERM
    out_of_memory: bool = False  # the kernel killed some process for lack of memory meanwhile
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run in this launch: its status (one of runs.STATUSES, BUSY, or slurm's QUEUED).

    run: the run as it is afterwards.
    """

    run: runs.Run
    status: str
    seconds: float


def reset_failure_count(run: runs.Run) -> runs.Run:
    """Return the run as planned, without its failure count if it has status failed (no attempt left)."""
    return replace(run, meta={**run.meta, "failure": None}) if run.status == "failed" else run


def claim(run: runs.Run) -> Outcome | None:
    """Mark the run as pending and return None; or return its outcome if it is finished or busy by now.

    Raises:
        RunError, OSError: the run directory cannot be read or written.
    """
    try:
        with runs.lock(run.path):
            found = runs.read_run(run.path)
            if found.status in runs.FINAL_STATUSES:
                return Outcome(found, found.status, 0.0)
            failure = run.meta.get("failure")
            changes = {} if failure == found.meta.get("failure") else {"failure": failure}
            runs.update_meta(run.path, status="pending", error=None, **changes)
            return None
    except runs.RunBusyError:
        return Outcome(runs.read_run(run.path), BUSY, 0.0)


def start_failure(run: runs.Run, error: Exception, retry_policy: RetryPolicy) -> Outcome:
    """Record that a run's process could not be started, and return the outcome.

    meta.json keeps its content if writing is what failed.
    """
    if isinstance(error, EOFError):
        error = ConnectionError("the fork server of the runs has died while it loaded its modules")
    changes = _failure_changes(run, _error_text(error), exit_code=None)
    with suppress(runs.RunError, OSError), runs.lock(run.path):
        runs.update_meta(run.path, **_as_written(changes, retry_policy))
    return _outcome(run, changes, seconds=0.0)


def record_end(run: runs.Run, process_exit: ProcessExit, retry_policy: RetryPolicy) -> Outcome:
    """Complete meta.json after a run's process has exited, and return the outcome.

    Writes the status if the worker wrote none ("pending" if the run will be retried), and the failure class of a failed
    or diverged run in any case.

    Args:
        run: as it was claimed.
    """
    if process_exit.exit_code == BUSY_EXIT:
        return Outcome(run, BUSY, process_exit.seconds)
    found, changes = run, dict[str, Any]()
    try:
        with _lock_after_exit(run.path):
            found = runs.read_run(run.path)
            changes = _meta_changes(run, found, process_exit, retry_policy)
            if changes:
                runs.update_meta(run.path, **_as_written(changes, retry_policy))
    except runs.RunBusyError:
        return Outcome(found, BUSY, process_exit.seconds)
    except (runs.RunError, OSError) as error:  # a full disk, for example
        changes = changes or _failure_changes(run, _error_text(error), exit_code=None)
    return _outcome(found, changes, seconds=process_exit.seconds)


def recheck_busy(outcome: Outcome) -> Outcome:
    """Return the final outcome of a run that was busy elsewhere, if it is finished by now."""
    if outcome.status == BUSY:
        with suppress(runs.RunError):
            run = runs.read_run(outcome.run.path)
            if run.status in runs.FINAL_STATUSES:
                return Outcome(run, run.status, outcome.seconds)
    return outcome


def _meta_changes(
    claimed: runs.Run, found: runs.Run, process_exit: ProcessExit, retry_policy: RetryPolicy
) -> dict[str, Any]:
    error = found.meta.get("error")
    if found.status == "diverged":
        return _failure_changes(claimed, error, process_exit.exit_code, status="diverged")
    if found.status in runs.FINAL_STATUSES:
        return {}
    if process_exit.terminated_for == "stop":  # the stop may have caused the error
        return {"status": "interrupted"} if found.status == "failed" else {"status": "interrupted", "error": None}
    if process_exit.terminated_for == "timeout":
        assert retry_policy.timeout_seconds is not None
        error = failures.timeout_error(retry_policy.timeout_seconds)
    elif found.status != "failed":
        error = failures.exit_error(process_exit.exit_code, out_of_memory=process_exit.out_of_memory)
    return _failure_changes(claimed, error, process_exit.exit_code)


def _as_written(changes: Mapping[str, Any], retry_policy: RetryPolicy) -> dict[str, Any]:
    """Return the changes as meta.json gets them: a run that will be retried is pending."""
    return {**changes, **({} if retry_policy.retry_pause(changes) is None else {"status": "pending"})}


def _failure_changes(
    run: runs.Run, error: str | None, exit_code: int | None, *, status: str = "failed"
) -> dict[str, Any]:
    failed_before = (run.meta.get("failure") or {}).get("attempt", 0)
    failure = {"class": failures.classify(exit_code, error, status), "attempt": failed_before + 1}
    return {"status": status, "error": error, "failure": failure}


def _outcome(run: runs.Run, changes: Mapping[str, Any], *, seconds: float) -> Outcome:
    run = replace(run, meta={**run.meta, **changes})
    return Outcome(run, run.status, seconds)


@contextmanager
def _lock_after_exit(path: Path) -> Iterator[None]:
    """Hold the run's lock, which the children of a killed process may keep for a moment."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline and runs.Run(path, {}).is_locked():
        time.sleep(0.02)
    with runs.lock(path):
        yield


def _error_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
