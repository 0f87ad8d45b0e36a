"""Job of a cluster: `python -m sweeps.engines.job` is a sweep of one run, on whatever machine the cluster chooses.

It is a process of its own because of the clusters: Slurm signals some or all processes of a job, and Ray kills a worker
whose machine runs out of memory. This process ignores those signals. It stops its run in good order when its owner, the
process at the other end of its standard input, closes that end or dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from agrae_lab import runs
from sweeps.execution.display import LineDisplay
from sweeps.execution.executor import run_all
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import BUSY
from sweeps.execution.slots import Slot, preload_for
from sweeps.execution.worker import BUSY_EXIT

IGNORED = (signal.SIGTERM, signal.SIGUSR2)  # sent by Slurm; the owner gets them too and acts on them
# This module as a program, after agrae_lab, so that a folder sweeps/ in the working directory is not taken for ours.
_PROGRAM = "import runpy, agrae_lab; runpy.run_module('sweeps.engines.job', run_name='__main__', alter_sys=True)"
SIGNAL_SECONDS = 5.0  # between a signal of Slurm to the run and the stop by its owner


@dataclass(frozen=True)
class Job:
    """A run with its settings of execution, as plain data that a cluster can send to another machine."""

    run_dir: str  # absolute, on a disk that both machines see
    train_module: str
    preload: tuple[str, ...]
    num_threads: int
    retries: int
    timeout_seconds: float | None

    @classmethod
    def for_run(
        cls, run: runs.Run, *, train_module: str, preload: Sequence[str], num_threads: int, retry_policy: RetryPolicy
    ) -> Job:
        path = str(run.path.absolute())
        return cls(path, train_module, tuple(preload), num_threads, retry_policy.retries, retry_policy.timeout_seconds)


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start the job's process; this process is its owner."""
    argv = [sys.executable, "-c", _PROGRAM, json.dumps(asdict(job))]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end and return the exit code of `main`. A signal handler may call `stop` meanwhile."""
    _wait_without_reaping(process)
    with process:
        return process.wait()


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """Request the end of the run, which can be resumed."""
    assert process.stdin is not None
    process.stdin.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the run and wait for its end: until its step is done, and at most the executor's grace period."""
    ask_to_stop(process)
    _wait_without_reaping(process)


def _wait_without_reaping(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end without Popen.wait, whose lock would deadlock a signal handler that waits too."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def main(argv: Sequence[str]) -> int:
    """Execute one run.

    Returns:
        0: it is done; BUSY_EXIT: another process executes it; 128 + SIGKILL: it was ended by a signal; else 1.
    """
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # used below; nohup would have it ignored
    released = threading.Event()
    threading.Thread(target=_stop_when_released, args=[released], daemon=True).start()
    raw = json.loads(argv[0])
    job = Job(**{**raw, "preload": tuple(raw["preload"])})
    run = runs.read_run(job.run_dir)
    outcomes, _ = run_all(
        [run],
        slots=[Slot(job.num_threads, gpu=None)],  # the cluster sets CUDA_VISIBLE_DEVICES
        train_module=job.train_module,
        preload=preload_for([run.config], job.preload),
        display=LineDisplay(sys.stdout, num_runs=1),
        retry_policy=RetryPolicy(retries=job.retries, timeout_seconds=job.timeout_seconds),
    )
    outcome = outcomes[0] if outcomes else None
    if outcome is not None and outcome.status == "done":
        return 0
    if outcome is not None and outcome.status == BUSY:
        return BUSY_EXIT
    failure_class = None if outcome is None else (outcome.run.meta.get("failure") or {}).get("class")
    if failure_class != "signal":
        return 1
    if released.wait(SIGNAL_SECONDS):
        _mark_interrupted(job.run_dir)
    return 128 + signal.SIGKILL


def _stop_when_released(released: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the owner closes its end
    released.set()
    os.kill(os.getpid(), signal.SIGHUP)  # stops the executor


def _mark_interrupted(run_dir: str) -> None:
    """Mark as interrupted a run that Slurm's signal ended before this process had to stop it."""
    path = Path(run_dir)
    with suppress(runs.RunBusyError), runs.lock(path):
        runs.update_meta(path, status="interrupted", error=None, failure=None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
