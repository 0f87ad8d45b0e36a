"""Execution of runs: one process per run, a fixed number at a time. The stages of a run:

    claim     the run's lock is free and the run is not finished; meta.json: "pending", the last error cleared
    start     the fork server, which has loaded the heavy modules, forks a worker (sweeps.execution.worker)
    execute   the worker takes the run's lock, trains, and writes the status: done, diverged, failed, ...
    end       the controller reads the exit code, and writes "failed" for a worker that could not write its status
    retry     a transient failure leaves "pending"; the next attempt resumes from the last checkpoint

shutdown.py has the ways to end a sweep early, retry_policy.py the rules of retries.
"""

from __future__ import annotations

import heapq
import itertools
import math
import operator
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from signal import SIGKILL, SIGTERM
from typing import Protocol

from agrae_lab import runs
from sweeps.execution import forkserver, run_status
from sweeps.execution.failures import num_oom_kills
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import BUSY, Outcome, ProcessExit
from sweeps.execution.shutdown import StopLevel, StopState, exit_code, signal_group, stop_requests, waiting_for_locks
from sweeps.execution.slots import Slot
from sweeps.execution.worker import GRACE_SECONDS, run_in_child

POLL_SECONDS = 0.25


@dataclass
class ActiveRun:
    """A run with a process."""

    run: runs.Run
    slot: Slot
    process: ForkServerProcess
    started: float  # time.monotonic()
    oom_kills_before: int  # failures.num_oom_kills() at the start
    waited: float = 0.0  # seconds spent waiting for the lock of a shared evaluation
    terminated_for: str | None = None  # "stop" or "timeout": the reason of SIGTERM
    kill_at: float = math.inf

    def terminate(self, reason: str) -> None:
        """Send SIGTERM, once, and schedule SIGKILL."""
        if self.terminated_for is None:
            self.terminated_for, self.kill_at = reason, time.monotonic() + GRACE_SECONDS
            signal_group(self.process, SIGTERM)


class Display(Protocol):
    """Receiver of a sweep's events (see sweeps.execution.display)."""

    def started(self, run: runs.Run) -> None: ...
    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None: ...
    def stopping(self, level: StopLevel, num_active: int, reason: str) -> None: ...
    def retrying(self, outcome: Outcome, pause: float) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...


def run_all(
    todo: Iterable[runs.Run],
    *,
    slots: Sequence[Slot],
    train_module: str,
    preload: Sequence[str],
    display: Display,
    retry_policy: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
) -> tuple[list[Outcome], bool]:
    """Execute runs. A run that fails or dies does not disturb the others.

    Args:
        todo: runs with a config.yaml, in the order in which they start. Runs are taken one at a time, when a slot is
            free. A generator can thus choose the next run from the events already sent to the display.
        slots: one for each run at a time, with its cores and GPU.
        train_module: has `execute(run_dir: str) -> str`, imported in each worker.
        preload: modules loaded once and shared by all workers; their import must not touch CUDA.
        retry_policy: rules of retries and of ending the sweep early.

    Returns:
        the outcome of each run that was started or found busy, and True if the user or the clock ended the sweep early.
    """
    try:
        context = forkserver.load(preload)
    except KeyboardInterrupt:
        return [], True

    def start(run: runs.Run, slot: Slot) -> ForkServerProcess:
        return forkserver.start(context, run_in_child, str(run.path.absolute()), train_module, slot)

    with stop_requests() as stop_state:
        sweep = _Sweep(iter(todo), slots, start, display, retry_policy, stop_state)
        try:
            sweep.execute_all()
        finally:  # also after a bug: no worker outlives this block
            sweep.end_active()
    interrupted = stop_state.on_request and (sweep.has_more() or any(o.status == "interrupted" for o in sweep.outcomes))
    return [run_status.recheck_busy(outcome) for outcome in sweep.outcomes], interrupted


class _Sweep:
    """State of one call of run_all."""

    def __init__(
        self,
        todo: Iterator[runs.Run],
        slots: Sequence[Slot],
        start: Callable[[runs.Run, Slot], ForkServerProcess],
        display: Display,
        retry_policy: RetryPolicy,
        stop_state: StopState,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._todo, self._all_taken = todo, False
        self._retries: list[tuple[float, int, runs.Run]] = []  # heap: earliest start, tie-breaker, run
        self._numbers = itertools.count()
        self._free = list(slots)
        self._active: list[ActiveRun] = []
        self._start_process, self._display = start, display
        self._retry_policy, self._stop_state = retry_policy, stop_state
        self._applied_level = StopLevel.NONE  # highest level already signalled to the active runs
        self._began = self._ticked = time.monotonic()

    def has_more(self) -> bool:
        """Return True if runs are left to start; a generator that has not ended may have one."""
        return bool(self._retries) or not (self._all_taken or operator.length_hint(self._todo, 1) == 0)

    def execute_all(self) -> None:
        """Execute all runs and their retries, unless the sweep is stopped."""
        while self._active or (self.has_more() and not self._stop_state.level):
            self._fill_free_slots()
            self._display.tick(self._active, len(self._retries) + operator.length_hint(self._todo))
            for active_run in self._pop_ended():
                self._record_outcome(self._record_end(active_run))
            self._apply_stop_rules()

    def end_active(self) -> None:
        """End all active runs without telling the display, whose own error may be the cause."""
        for active_run in self._active:
            active_run.terminate("stop")
        while self._active:
            self._kill_overdue()
            for active_run in self._pop_ended():
                self._record_end(active_run)

    def _fill_free_slots(self) -> None:
        while self._free and not self._stop_state.level and (run := self._next()) is not None:
            began, oom_kills = time.monotonic(), num_oom_kills()
            try:
                if (found := run_status.claim(run)) is not None:
                    self._record_outcome(found)
                    self._apply_failure_rules()
                    continue
                process = self._start_process(run, self._free[0])
            except (runs.RunError, OSError, EOFError) as error:
                self._record_outcome(run_status.start_failure(run, error, self._retry_policy))
                self._apply_failure_rules()
                continue
            self._active.append(ActiveRun(run, self._free.pop(0), process, began, oom_kills))
            self._display.started(run)

    def _next(self) -> runs.Run | None:
        """Return the next run that may start now, retries first."""
        if self._retries and self._retries[0][0] <= time.monotonic():
            return heapq.heappop(self._retries)[-1]
        run = None if self._all_taken else next(self._todo, None)
        self._all_taken = run is None
        return None if run is None else run_status.reset_failure_count(run)

    def _pop_ended(self) -> list[ActiveRun]:
        """Remove and return the runs whose process has ended; wait POLL_SECONDS for the first."""
        ready = connection.wait([active_run.process.sentinel for active_run in self._active], timeout=POLL_SECONDS)
        ended = [active_run for active_run in self._active if active_run.process.sentinel in ready]
        for active_run in ended:
            self._active.remove(active_run)
            self._free.append(active_run.slot)
        return ended

    def _record_end(self, active_run: ActiveRun) -> Outcome:
        code = exit_code(active_run.process)
        out_of_memory = num_oom_kills() > active_run.oom_kills_before
        process_exit = ProcessExit(
            code, active_run.terminated_for, out_of_memory, seconds=time.monotonic() - active_run.started
        )
        return run_status.record_end(active_run.run, process_exit, self._retry_policy)

    def _record_outcome(self, outcome: Outcome) -> None:
        """Schedule another attempt, or record the final outcome."""
        pause = None if outcome.status == BUSY else self._retry_policy.retry_pause(outcome.run.meta)
        if pause is not None:
            heapq.heappush(self._retries, (time.monotonic() + pause, next(self._numbers), outcome.run))
            self._display.retrying(outcome, pause)
            return
        self.outcomes.append(outcome)
        self._display.ended(outcome)

    def _apply_failure_rules(self) -> None:
        """Stop the sweep at its level for the number of failed runs."""
        num_failed = sum(outcome.status == "failed" for outcome in self.outcomes)
        self._stop_state.escalate(*self._retry_policy.stop_level(num_failed), on_request=False)

    def _apply_stop_rules(self) -> None:
        self._apply_failure_rules()
        if self._retry_policy.deadline_passed(time.monotonic() - self._began):
            self._stop_state.escalate(
                StopLevel.STOP, "the time limit of this sweep (wall_hours) is reached", on_request=True
            )
        if self._stop_state.level > self._applied_level:
            self._applied_level = self._stop_state.level
            self._apply_stop_level(self._applied_level)
        self._terminate_overtime()
        self._kill_overdue()

    def _apply_stop_level(self, level: StopLevel) -> None:
        if self._active:
            self._display.stopping(level, len(self._active), self._stop_state.reason)
        for active_run in self._active:
            if level >= StopLevel.STOP:
                active_run.terminate("stop")
            if level == StopLevel.KILL:
                active_run.kill_at = 0.0

    def _terminate_overtime(self) -> None:
        now = time.monotonic()
        passed, self._ticked = now - self._ticked, now
        if self._retry_policy.timeout_seconds is None:
            return
        waiting = waiting_for_locks()
        for active_run in self._active:
            if active_run.process.pid in waiting:
                active_run.waited += passed
            elif now - active_run.started - active_run.waited > self._retry_policy.timeout_seconds:
                active_run.terminate("timeout")

    def _kill_overdue(self) -> None:
        for active_run in self._active:
            if time.monotonic() > active_run.kill_at:
                signal_group(active_run.process, SIGKILL)
