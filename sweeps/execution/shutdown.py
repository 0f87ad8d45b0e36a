"""Ending before its time: how far a person, a rule or the clock stops a sweep, and what that does to processes.

    Ctrl-C              nothing more is started, the active runs finish
    again, or SIGTERM   the active runs are asked to stop (SIGTERM), and killed after GRACE_SECONDS
    and again           they are killed at once

A closed terminal (SIGHUP) stops as SIGTERM does.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sweeps.execution.worker import STOP_SIGNALS


class Halt(IntEnum):
    """How far a sweep is stopped; it never goes back."""

    NO = 0
    DRAIN = 1  # nothing more is started
    STOP = 2  # the active runs are asked to stop
    KILL = 3  # and not given the time to


@dataclass
class Halting:
    """What has been asked for so far."""

    level: Halt = Halt.NO
    why: str = ""
    on_request: bool = False  # by a person or the clock, not because of failures

    def raise_to(self, level: Halt, why: str, *, on_request: bool) -> None:
        """Go at least so far."""
        if level > self.level:
            self.level, self.why = level, why
            self.on_request |= on_request


@contextmanager
def stop_requests() -> Iterator[Halting]:
    """Signals that ask for a stop raise the level inside this block. What is ignored (nohup) stays ignored."""
    halting = Halting()

    def received(number: int, _frame: object) -> None:
        interrupt = number == signal.SIGINT
        level = Halt(min(halting.level + 1, Halt.KILL))
        why = "Ctrl-C" if interrupt else signal.Signals(number).name
        halting.raise_to(level if interrupt else max(level, Halt.STOP), why, on_request=True)

    old = {}
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            old[number] = signal.signal(number, received)
    try:
        yield halting
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def signal_group(process: ForkServerProcess, number: int) -> None:
    """Signal a run's process and all that it has started."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # it has not come to setsid yet, or all of it is gone
            if process.is_alive():
                os.kill(process.pid, number)


def exit_code(process: ForkServerProcess) -> int | None:
    """Of a process that has ended, after which nothing of its group is left.

    None if it was alive: then it is the server that has died, which would have told us how it ended.
    """
    process.join()
    assert process.pid is not None
    try:
        os.kill(process.pid, 0)
        code = None
    except OSError:  # gone, as it should be
        code = process.exitcode
    signal_group(process, signal.SIGKILL)  # whatever the run left behind would keep its lock and its GPU
    process.close()
    return code


def waiting_for_locks() -> set[int]:
    """Ids of the processes that wait for a file lock; none where the kernel does not say.

    A run waits so for what another is making for both, the base model's evaluation say, and is not hung.
    """
    path = Path("/proc/locks")
    lines = path.read_text().splitlines() if path.exists() else []
    words = [line.split() for line in lines]  # 2: -> FLOCK ADVISORY WRITE 4711 fe:00:1532028 0 EOF
    return {int(word[5]) for word in words if word[1] == "->"}
