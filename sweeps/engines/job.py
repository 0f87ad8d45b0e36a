"""One run as a job of a cluster: `python -m sweeps.engines.job` is a sweep of that run alone, on whatever machine.

It is a process apart from the cluster's own, because of what clusters do to a job: Slurm signals some or all of its
processes, and Ray kills a worker whose machine runs out of memory. So this one ignores the signals that are not meant
for it, and stops in good order when its owner, who holds the other end of its standard input, lets go of it or dies.
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
from sweeps.execution.executor import BUSY, run_all
from sweeps.execution.retry_policy import Policy
from sweeps.execution.slots import Slot
from sweeps.execution.worker import BUSY_EXIT

IGNORED = (signal.SIGTERM, signal.SIGUSR2)  # Slurm's notices: the owner, who gets them too, knows what they mean
NOTICE_SECONDS = 5.0  # between a notice to the run and its owner's letting go


@dataclass(frozen=True)
class Job:
    """A run and how it is carried through, as plain data that a cluster can carry to another machine."""

    run_dir: str  # absolute, on a disk that both machines see
    train_module: str
    preload: tuple[str, ...]
    num_threads: int
    retries: int
    timeout_seconds: float | None

    @classmethod
    def of(cls, run: runs.Run, *, train_module: str, preload: Sequence[str], num_threads: int, policy: Policy) -> Job:
        path = str(run.path.absolute())
        return cls(path, train_module, tuple(preload), num_threads, policy.retries, policy.timeout_seconds)


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start the job's process, whose owner this process is."""
    argv = [sys.executable, "-m", "sweeps.engines.job", json.dumps(asdict(job))]
    return subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)


def wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end and return the code of `main`. A signal handler may call `stop` meanwhile."""
    _wait_without_reaping(process)
    with process:
        return process.wait()


def ask_to_stop(process: subprocess.Popen[bytes]) -> None:
    """Have the run stopped, to be continued."""
    assert process.stdin is not None
    process.stdin.close()


def stop(process: subprocess.Popen[bytes]) -> None:
    """Have the run stopped and wait until it is: as long as its step takes, and at most executor's grace."""
    ask_to_stop(process)
    _wait_without_reaping(process)


def _wait_without_reaping(process: subprocess.Popen[bytes]) -> None:
    """Popen.wait holds a lock, on which a signal handler that waits too would wait for ever."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def main(argv: Sequence[str]) -> int:
    """Carry one run through.

    Returns:
        0: it is done; BUSY_EXIT: another process is at work on it; 128 + SIGKILL: it was ended by a signal; else 1.
    """
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # below it is our own word; under nohup it came to us ignored
    let_go = threading.Event()
    threading.Thread(target=_stop_when_let_go, args=[let_go], daemon=True).start()
    raw = json.loads(argv[0])
    job = Job(**{**raw, "preload": tuple(raw["preload"])})
    outcomes, _ = run_all(
        [runs.read_run(job.run_dir)],
        slots=[Slot(job.num_threads, gpu=None)],  # the cluster has said which GPU, in CUDA_VISIBLE_DEVICES
        train_module=job.train_module,
        preload=job.preload,
        display=LineDisplay(sys.stdout, num_runs=1),
        policy=Policy(retries=job.retries, timeout_seconds=job.timeout_seconds),
    )
    status, failed = "", None
    for outcome in outcomes:
        status, failed = outcome.status, (outcome.run.meta.get("failure") or {}).get("class")
    if failed == "signal" and let_go.wait(NOTICE_SECONDS):
        _note_interruption(job.run_dir)
    return {"done": 0, BUSY: BUSY_EXIT}.get(status, 128 + signal.SIGKILL if failed == "signal" else 1)


def _stop_when_let_go(let_go: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)  # nobody writes: it returns when the owner's end is closed
    let_go.set()
    os.kill(os.getpid(), signal.SIGHUP)  # to the executor a request to stop


def _note_interruption(run_dir: str) -> None:
    """The notice went to the run's own process too, which has stopped before we had to ask it to."""
    path = Path(run_dir)
    with suppress(runs.RunBusyError), runs.lock(path):
        runs.update_meta(path, status="interrupted", error=None, failure=None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
