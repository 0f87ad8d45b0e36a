"""Early end of a sweep: stop levels, the signals that raise them, and signals to the runs' processes.

    Ctrl-C              no more runs start, the active runs finish; if failures have stopped new runs already, the
                        active ones get SIGTERM
    again, or SIGTERM   the active runs get SIGTERM, and SIGKILL after GRACE_SECONDS
    and again           the active runs get SIGKILL at once

A closed terminal (SIGHUP) counts as SIGTERM.
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


class StopLevel(IntEnum):
    """Degree to which a sweep is stopped; it only rises."""

    NONE = 0
    DRAIN = 1  # start no more runs
    STOP = 2  # SIGTERM to the active runs
    KILL = 3  # SIGKILL to the active runs


@dataclass
class StopState:
    """Highest stop level so far, and its reason."""

    level: StopLevel = StopLevel.NONE
    reason: str = ""
    on_request: bool = False  # by the user or the clock, not by failures

    def escalate(self, level: StopLevel, reason: str, *, on_request: bool) -> None:
        """Raise the level to at least this one."""
        if level > self.level:
            self.level, self.reason = level, reason
            self.on_request |= on_request


@contextmanager
def stop_requests() -> Iterator[StopState]:
    """Yield a state whose level rises at each stop signal in this block. An ignored signal (nohup) stays ignored."""
    stop_state = StopState()

    def received(number: int, _frame: object) -> None:
        interrupt = number == signal.SIGINT
        level = StopLevel(min(stop_state.level + 1, StopLevel.KILL))
        reason = "Ctrl-C" if interrupt else signal.Signals(number).name
        stop_state.escalate(level if interrupt else max(level, StopLevel.STOP), reason, on_request=True)

    old = {}
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            old[number] = signal.signal(number, received)
    try:
        yield stop_state
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def signal_group(process: ForkServerProcess, number: int) -> None:
    """Signal a run's process and all processes that it has started."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:  # before its setsid, or after its end
            if process.is_alive():
                os.kill(process.pid, number)


def exit_code(process: ForkServerProcess) -> int | None:
    """Return the exit code of a process that has ended, and kill the rest of its process group.

    None if the process still exists: then the fork server has died, which alone could report the code.
    """
    process.join()
    assert process.pid is not None
    try:
        os.kill(process.pid, 0)
        code = None
    except OSError:  # it has ended
        code = process.exitcode
    signal_group(process, signal.SIGKILL)  # its children would keep its lock and its GPU
    process.close()
    return code


def waiting_for_locks() -> set[int]:
    """Return the ids of the processes that wait for a file lock, and of those above them.

    Empty where the kernel does not list them.

    A run waits like this while another run makes the base model's evaluation for both.
    """
    path = Path("/proc/locks")
    lines = path.read_text().splitlines() if path.exists() else []
    words = [line.split() for line in lines]  # 2: -> FLOCK ADVISORY WRITE 4711 fe:00:1532028 0 EOF
    return {above for word in words if word[1] == "->" for above in _line_of_parents(int(word[5]))}


def _line_of_parents(pid: int) -> Iterator[int]:
    """Yield a process's id, its parent's, and so on: a run's worker is above its launcher and its processes."""
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            return
