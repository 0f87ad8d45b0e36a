"""One process per run, a fixed number at a time. The life of a run:

    claim     its lock is free and nobody finished it meanwhile; meta.json: "pending", the last error cleared
    start     a fork of a server that has loaded the heavy modules (sweeps.execution.worker takes over there)
    execute   the child takes the run's lock, trains, and writes how it ended: done, diverged, failed, ...
    end       the exit code is read; for a child that died before it could write, "failed" is written here
    retry     a transient failure leaves "pending" and another attempt, which goes on from the last checkpoint

shutdown.py says what ends a sweep before its time, retry_policy.py when a run is tried again.
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
from sweeps.execution.retry_policy import Policy
from sweeps.execution.run_status import BUSY, Ending, Outcome
from sweeps.execution.shutdown import Halt, Halting, exit_code, signal_group, stop_requests, waiting_for_locks
from sweeps.execution.slots import Slot
from sweeps.execution.worker import GRACE_SECONDS, run_in_child

__all__ = ["BUSY", "ActiveRun", "Display", "Outcome", "run_all"]

POLL_SECONDS = 0.25


@dataclass
class ActiveRun:
    """A run that has a process now."""

    run: runs.Run
    slot: Slot
    process: ForkServerProcess
    started: float  # time.monotonic()
    oom_kills_before: int  # by the kernel, since it started
    waited: float = 0.0  # seconds in which another run made what this one needs
    asked: str | None = None  # "stop" or "timeout": why it has been sent SIGTERM
    kill_at: float = math.inf

    def ask_to_end(self, why: str) -> None:
        if self.asked is None:
            self.asked, self.kill_at = why, time.monotonic() + GRACE_SECONDS
            signal_group(self.process, SIGTERM)


class Display(Protocol):
    """Who is told what happens (see sweeps.execution.display)."""

    def started(self, run: runs.Run) -> None: ...
    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None: ...
    def stopping(self, level: Halt, num_active: int, why: str) -> None: ...
    def retrying(self, outcome: Outcome, pause: float) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...


def run_all(
    todo: Iterable[runs.Run],
    *,
    slots: Sequence[Slot],
    train_module: str,
    preload: Sequence[str],
    display: Display,
    policy: Policy = Policy(),  # noqa: B008 - frozen
) -> tuple[list[Outcome], bool]:
    """Carry runs through; a run that fails or dies leaves the others alone.

    Args:
        todo: runs with a config.yaml, in the order in which they are to start. Each is taken when a slot is free for
            it, so that a generator may look at what the display has been told by then.
        slots: how many run at a time, and with what.
        train_module: has `execute(run_dir: str) -> str`, imported in each child.
        preload: modules loaded once and shared by all children; they must not touch CUDA on import.
        policy: when runs are tried again, and when the sweep is given up.

    Returns:
        how the runs ended that were started or found busy, each once, and whether a person or the clock cut the sweep
        short.
    """
    try:
        context = forkserver.load(preload)
    except KeyboardInterrupt:
        return [], True

    def start(run: runs.Run, slot: Slot) -> ForkServerProcess:
        return forkserver.start(context, run_in_child, str(run.path.absolute()), train_module, slot)

    with stop_requests() as halting:
        sweep = _Sweep(iter(todo), slots, start, display, policy, halting)
        try:
            sweep.carry_through()
        finally:  # after a mistake of our own too: no child outlives this block
            sweep.end_active()
    interrupted = halting.on_request and (sweep.has_more() or any(o.status == "interrupted" for o in sweep.outcomes))
    return [run_status.settled(outcome) for outcome in sweep.outcomes], interrupted


class _Sweep:
    """What goes on in one launch."""

    def __init__(
        self,
        fresh: Iterator[runs.Run],
        slots: Sequence[Slot],
        start: Callable[[runs.Run, Slot], ForkServerProcess],
        display: Display,
        policy: Policy,
        halting: Halting,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._fresh, self._all_taken = fresh, False
        self._again: list[tuple[float, int, runs.Run]] = []  # heap: not before, a number against ties, run
        self._numbers = itertools.count()
        self._free = list(slots)
        self._active: list[ActiveRun] = []
        self._start_process, self._display, self._policy, self._halting = start, display, policy, halting
        self._halted = Halt.NO  # as far as has been acted on
        self._began = self._ticked = time.monotonic()

    def has_more(self) -> bool:
        """Whether there are runs left to start; a generator that has not come to its end may have one."""
        return bool(self._again) or not (self._all_taken or operator.length_hint(self._fresh, 1) == 0)

    def carry_through(self) -> None:
        while self._active or (self.has_more() and not self._halting.level):
            self._start_what_fits()
            self._display.tick(self._active, len(self._again) + operator.length_hint(self._fresh))
            for one in self._pop_ended():
                self._note(self._record_end(one))
            self._stop_what_is_due()

    def end_active(self) -> None:
        """Nothing is told of this: the display may be what broke."""
        for one in self._active:
            one.ask_to_end("stop")
        while self._active:
            self._kill_what_is_due()
            for one in self._pop_ended():
                self._record_end(one)

    def _start_what_fits(self) -> None:
        while self._free and not self._halting.level and (run := self._next()) is not None:
            began, oom_kills = time.monotonic(), num_oom_kills()
            try:
                if (found := run_status.claim(run)) is not None:
                    self._note(found)
                    continue
                process = self._start_process(run, self._free[0])
            except (runs.RunError, OSError, EOFError) as error:
                self._note(run_status.not_started(run, error))
                continue
            self._active.append(ActiveRun(run, self._free.pop(0), process, began, oom_kills))
            self._display.started(run)

    def _next(self) -> runs.Run | None:
        """The next run that may start now, those to be tried again first."""
        if self._again and self._again[0][0] <= time.monotonic():
            return heapq.heappop(self._again)[-1]
        run = None if self._all_taken else next(self._fresh, None)
        self._all_taken = run is None
        return None if run is None else run_status.with_fresh_count(run)

    def _pop_ended(self) -> list[ActiveRun]:
        """Those whose process has ended, by whatever death; waits POLL_SECONDS for the first."""
        ready = connection.wait([one.process.sentinel for one in self._active], timeout=POLL_SECONDS)
        ended = [one for one in self._active if one.process.sentinel in ready]
        for one in ended:
            self._active.remove(one)
            self._free.append(one.slot)
        return ended

    def _record_end(self, one: ActiveRun) -> Outcome:
        code = exit_code(one.process)
        out_of_memory = num_oom_kills() > one.oom_kills_before
        ending = Ending(code, one.asked, out_of_memory, seconds=time.monotonic() - one.started)
        return run_status.record_end(one.run, ending, self._policy)

    def _note(self, outcome: Outcome) -> None:
        """Another attempt, or the end of it."""
        pause = None if outcome.status == BUSY else self._policy.retry_pause(outcome.run.meta)
        if pause is not None:
            heapq.heappush(self._again, (time.monotonic() + pause, next(self._numbers), outcome.run))
            self._display.retrying(outcome, pause)
            return
        self.outcomes.append(outcome)
        self._display.ended(outcome)

    def _stop_what_is_due(self) -> None:
        num_failed = sum(outcome.status == "failed" for outcome in self.outcomes)
        self._halting.raise_to(*self._policy.give_up(num_failed), on_request=False)
        if self._policy.is_over(time.monotonic() - self._began):
            self._halting.raise_to(Halt.STOP, "the time for this sweep is over", on_request=True)
        if self._halting.level > self._halted:
            self._halted = self._halting.level
            self._halt(self._halted)
        self._time_out()
        self._kill_what_is_due()

    def _halt(self, level: Halt) -> None:
        if self._active:
            self._display.stopping(level, len(self._active), self._halting.why)
        for one in self._active:
            if level >= Halt.STOP:
                one.ask_to_end("stop")
            if level == Halt.KILL:
                one.kill_at = 0.0

    def _time_out(self) -> None:
        now = time.monotonic()
        passed, self._ticked = now - self._ticked, now
        if self._policy.timeout_seconds is None:
            return
        waiting = waiting_for_locks()
        for one in self._active:
            if one.process.pid in waiting:
                one.waited += passed
            elif now - one.started - one.waited > self._policy.timeout_seconds:
                one.ask_to_end("timeout")

    def _kill_what_is_due(self) -> None:
        for one in self._active:
            if time.monotonic() > one.kill_at:
                signal_group(one.process, SIGKILL)
