"""Client of the verifier's server: one server per process, started by the first comparison, ended with the process."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from agrae_lab.verify.server import CPU_SECONDS, Comparison, Reply

_SERVER = "from agrae_lab.verify.server import main; main()"
ATTEMPTS = 2  # a killed server (by a batch system, for memory) is restarted once


class Pool:
    """Client that starts the server when it is first needed. Safe across threads and forks.

    Args:
        cpu_seconds: limit on processor time per answer.
        num_workers: None: one for each processor of this process's share of the machine's.
    """

    def __init__(self, *, cpu_seconds: float = CPU_SECONDS, num_workers: int | None = None) -> None:
        self._cpu_seconds, self._num_workers = cpu_seconds, num_workers
        self._process: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def ask(self, comparisons: Sequence[Comparison]) -> list[Reply]:
        """Return one reply per comparison, in order.

        Raises:
            ConnectionError: the server died twice; a sweep retries the run.
        """
        if not comparisons:
            return []
        with self._lock:
            for _ in range(ATTEMPTS):
                try:
                    connection = self._connection or self._start()
                    connection.send(list(comparisons))
                    return connection.recv()
                except (EOFError, OSError):
                    self._stop()
                except BaseException:  # interrupted before the reply: the next request must not get it
                    self._stop()
                    raise
        raise ConnectionError("the verifier's process has died twice: killed from outside, or for lack of memory")

    def close(self) -> None:
        with self._lock:
            self._stop()

    @property
    def pid(self) -> int | None:
        """The server's process id; None if it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def num_workers(self) -> int:
        return self._num_workers or _share_of_cores()

    def _start(self) -> Connection:
        ours, theirs = Pipe()
        arguments = [str(theirs.fileno()), str(self.num_workers), str(self._cpu_seconds)]
        here = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVER, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # a fixed hash seed: sympy's sets have the same order in every run
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"},
        )
        theirs.close()
        self._connection = ours
        return ours

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.close()  # at which the server ends
        if self._process is not None:
            self._process.kill()  # without waiting for its current answer; its workers end by themselves
            self._process.wait()
        self._connection = self._process = None

    def forget(self) -> None:
        """Drop the server in a forked child: it belongs to the parent."""
        self._lock = threading.Lock()
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.returncode = 0  # not our child: nothing to wait for, nothing to warn of
        self._connection = self._process = None


def _share_of_cores() -> int:
    """Return this process's share of the processors among the training processes on this machine."""
    return max(1, len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


POOL = Pool()
atexit.register(POOL.close)
os.register_at_fork(after_in_child=POOL.forget)
