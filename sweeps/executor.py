"""One process per run, a fixed number at a time. The life of a run:

    claim     its lock is free and nobody finished it meanwhile; meta.json: "pending", the last error cleared
    start     a fork of a server that has loaded the heavy modules (sweeps.child takes over there)
    execute   the child takes the run's lock, trains, and writes how it ended: done, diverged, failed, ...
    end       the exit code is read; for a child that died before it could write, "failed" is written here

A stop request (Ctrl-C, SIGTERM, a closed terminal) sends SIGTERM to every child's process group, and SIGKILL
after GRACE_SECONDS; the runs say "interrupted" and continue when they are executed again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Protocol

from agrae_lab import runs
from sweeps.child import BUSY_EXIT, GRACE_SECONDS, STOP_SIGNALS, run_in_child
from sweeps.slots import Slot

POLL_SECONDS = 0.25
BUSY = "busy"  # outcome of a run in whose directory another process is at work


@dataclass(frozen=True)
class ActiveRun:
    """A run that has a process now."""

    run: runs.Run
    slot: Slot
    process: ForkServerProcess
    started: float  # time.monotonic()


@dataclass(frozen=True)
class Outcome:
    """How a run ended in this launch: one of runs.STATUSES, or BUSY. `run` is as read from disk then."""

    run: runs.Run
    status: str
    seconds: float


class Display(Protocol):
    """Who is told what happens (see sweeps.progress)."""

    def started(self, run: runs.Run) -> None: ...
    def tick(self, active: Collection[ActiveRun], num_waiting: int) -> None: ...
    def stopping(self, num_active: int) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...


def run_all(
    todo: Iterable[runs.Run],
    *,
    slots: Sequence[Slot],
    train_module: str,
    preload: Sequence[str],
    display: Display,
) -> tuple[list[Outcome], bool]:
    """Carry runs through; a run that fails or dies leaves the others alone.

    Args:
        todo: runs with a config.yaml, in the order in which they are to start.
        slots: how many run at a time, and with what.
        train_module: has `execute(run_dir: str) -> str`, imported in each child.
        preload: modules loaded once and shared by all children; they must not touch CUDA on import.

    Returns:
        outcomes of the runs that were started or found busy, and whether a stop request cut the sweep short.
    """
    waiting, free = deque(todo), list(slots)
    active: list[ActiveRun] = []
    outcomes: list[Outcome] = []
    stopped: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        display.ended(outcome)

    try:
        context = _load_server(preload)
    except KeyboardInterrupt:
        return [], True
    with _stop_requests() as requests:
        try:
            while (waiting or active) and not requests:
                while waiting and free and not requests:
                    run = waiting.popleft()
                    if (found := _claim(run.path)) is not None:
                        note(found)
                        continue
                    active.append(_start(context, run, free.pop(0), train_module))
                    display.started(run)
                display.tick(active, len(waiting))
                for one in _wait_for_ends(active):
                    active.remove(one)
                    free.append(one.slot)
                    note(_record_end(one, stopped=False))
            if active:
                display.stopping(len(active))
        finally:  # after a stop request, and after a mistake of our own too: no child outlives this block
            stopped = [_record_end(one, stopped=True) for one in _stop(active, requests)]
    for outcome in stopped:
        note(outcome)
    return [_settled(outcome) for outcome in outcomes], bool(requests) and bool(waiting or stopped)


def _claim(run_dir: Path) -> Outcome | None:
    """None if the run is ours to start, else what another controller made of it since we planned."""
    try:
        with runs.lock(run_dir):
            run = runs.read_run(run_dir)
            if run.status in runs.FINAL_STATUSES:
                return Outcome(run, run.status, 0.0)
            runs.update_meta(run_dir, status="pending", error=None)
            return None
    except runs.RunBusyError:
        return Outcome(runs.read_run(run_dir), BUSY, 0.0)


def _start(context: ForkServerContext, run: runs.Run, slot: Slot, train_module: str) -> ActiveRun:
    process = context.Process(target=run_in_child, args=(str(run.path.absolute()), train_module, slot), name=run.key)
    process.start()
    return ActiveRun(run, slot, process, started=time.monotonic())


def _wait_for_ends(active: Sequence[ActiveRun]) -> list[ActiveRun]:
    """Those whose process has ended, by whatever death; waits POLL_SECONDS for the first."""
    ended = connection.wait([one.process.sentinel for one in active], timeout=POLL_SECONDS)
    return [one for one in active if one.process.sentinel in ended]


def _record_end(one: ActiveRun, *, stopped: bool) -> Outcome:
    one.process.join()
    code = one.process.exitcode
    assert code is not None
    _signal_group(one.process, signal.SIGKILL)  # whatever the run left behind would keep its lock and its GPU
    one.process.close()
    seconds = time.monotonic() - one.started
    path = one.run.path
    if code == BUSY_EXIT:
        return Outcome(one.run, BUSY, seconds)
    try:
        with runs.lock(path):
            if runs.read_run(path).status in ("pending", "running"):  # it died before it could say
                status, error = ("interrupted", None) if stopped else ("failed", _reason(code))
                runs.update_meta(path, status=status, error=error)
    except runs.RunBusyError:
        return Outcome(one.run, BUSY, seconds)
    run = runs.read_run(path)
    return Outcome(run, run.status, seconds)


def _reason(code: int) -> str:
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"the run's process was killed by {signal.Signals(-code).name}{hint}"
    return f"the run's process ended with exit code {code} before the run was over"


def _settled(outcome: Outcome) -> Outcome:
    """A run that was busy elsewhere may have been finished there by now."""
    if outcome.status != BUSY:
        return outcome
    run = runs.read_run(outcome.run.path)
    return Outcome(run, run.status if run.status in runs.FINAL_STATUSES else BUSY, outcome.seconds)


def _load_server(preload: Sequence[str]) -> ForkServerContext:
    """Start the process that the runs are forked from and wait until it has loaded its modules (seconds).

    Raises:
        RuntimeError: a module of `preload` cannot be loaded; its traceback is on stderr by then.
    """
    # Without this, torch.cuda.is_available() in some module's import would spoil CUDA for all forks.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*preload, "sweeps.child"])
    resource_tracker.ensure_running()  # the server would start it otherwise, and unblock signals in doing so
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        forkserver.ensure_running()  # inherits the mask: Ctrl-C in the terminal must not kill it
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    first = context.Process(target=_nothing)
    try:
        first.start()  # returns when the modules are loaded; Ctrl-C until then finds no run started
    except EOFError as error:
        raise RuntimeError(f"loading {', '.join(preload)} failed; the error stands above") from error
    first.join()
    return context


def _nothing() -> None:
    pass


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """The signals received so far that ask for a stop. What is ignored (nohup) stays ignored."""
    requests: list[int] = []
    old = {}
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            old[number] = signal.signal(number, lambda received, _frame: requests.append(received))
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _stop(active: Sequence[ActiveRun], requests: Sequence[int]) -> Iterator[ActiveRun]:
    """SIGTERM to all, SIGKILL to those still there after the grace, or at a second stop request."""
    for one in active:
        _signal_group(one.process, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    left = list(active)
    while left:
        for one in _wait_for_ends(left):
            left.remove(one)
            yield one
        if time.monotonic() > deadline or len(requests) > 1:
            for one in left:
                _signal_group(one.process, signal.SIGKILL)


def _signal_group(process: ForkServerProcess, number: int) -> None:
    assert process.pid is not None
    with suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # it has not come to setsid yet, or all of it is gone
            if process.is_alive():
                os.kill(process.pid, number)
