"""Runs of several processes: one launcher (torchrun or accelerate) a run, below the run's worker.

    controller ← worker ← launcher ← processes 0, 1, …      process 0 keeps the run's records

A SIGTERM to the worker reaches all processes through the launcher. When the worker or the launcher is killed, the
kernel kills those below it. When one process is lost, the launcher ends the others, and the worker reports the cause.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from agrae_lab import runs
from agrae_lab.node import ADDRESS_VARIABLE, node_command
from agrae_lab.process import RECORDS, end_with_parent
from agrae_lab.runs import launchers
from agrae_lab.runs.processes import Layout
from sweeps.execution.failures import num_oom_kills

LOST = "ConnectionError: another process of this run has ended"  # agrae_lab.training.session
LOCK_SECONDS = 5.0  # until the kernel has ended the processes of a killed launcher


def execute(run_dir: str, train_module: str) -> str:
    """Execute a run by its launcher and return its status.

    Raises:
        RunBusyError: another process executes it.
        SystemExit: it is not done. Code 128 + n: a process was ended by signal n (SIGKILL stands for any).
    """
    run = runs.read_run(run_dir)
    shutil.rmtree(run.path / RECORDS, ignore_errors=True)
    oom_kills, stopped = num_oom_kills(), False
    program = ["-m", "agrae_lab.process", train_module, run_dir]
    process = subprocess.Popen(
        launch_command(run, program),
        env=launchers.environment(),
        start_new_session=True,  # else a stop would reach it twice, and its second SIGTERM ends it at once
        preexec_fn=_prepare,
    )

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopped
        if not stopped:
            stopped = True
            process.terminate()

    signal.signal(signal.SIGTERM, stop)
    code = process.wait()
    with suppress(ProcessLookupError):  # what the launcher has left
        os.killpg(process.pid, signal.SIGKILL)
    if code != 0:
        if stopped:
            sys.exit(128 + signal.SIGTERM)
        _exit_after_failure(run, code, out_of_memory=num_oom_kills() > oom_kills)
    return runs.read_run(run_dir).status


def launch_command(run: runs.Run, program: list[str]) -> list[str]:
    """Return the command that starts all processes of a run, or this machine's where others are told otherwise.

    On several machines, Slurm's srun starts a launcher on each; Ray starts those of the others (sweeps.engines.ray).
    """
    layout = Layout.of(run.config)
    if layout.nodes == 1:
        return launchers.command(run.config, program)
    if address := os.environ.get(ADDRESS_VARIABLE):
        return launchers.command(run.config, program, node=0, address=address)
    address = f"{platform.node()}:{launchers.free_port()}"
    srun = ["srun", "--overlap", f"--nodes={layout.nodes}", f"--ntasks={layout.nodes}", "--ntasks-per-node=1"]
    return [*srun, "--kill-on-bad-exit=1", *node_command(str(run.path), "slurm", address, program)]


def _prepare() -> None:
    """Prepare the launcher's process: it ends with the worker, and Slurm's signal does not end it."""
    end_with_parent()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _exit_after_failure(run: runs.Run, code: int, *, out_of_memory: bool) -> None:
    """Record the cause of a launcher's failure in meta.json, if it is not the main process's own, and exit."""
    found = _records(run.path / RECORDS)
    if any(record["end"] == "busy" for record in found.values()):
        raise runs.RunBusyError(f"{run.path}: another process is running it")
    number = Layout.of(run.config).processes
    own = {i: record for i, record in found.items() if record["error"] and not record["error"].startswith(LOST)}
    if own:
        first = min(own, key=lambda i: own[i]["time"])
        if first != 0:
            _record_failure(run.path, f"{own[first]['error']} (process {first} of {number})")
        sys.exit(1)
    if killed := sorted(i for i, record in found.items() if record["end"] is None):
        why = (
            "killed: the machine is out of memory" if out_of_memory else "ended by a signal that the sweep did not send"
        )
        _record_failure(run.path, f"process {killed[0]} of {number} of this run was {why}")
        sys.exit(128 + signal.SIGKILL)
    if code < 0:  # the launcher itself
        sys.exit(128 - code)
    terminated = any(record["end"] == "terminated" for record in found.values())
    sys.exit(128 + signal.SIGTERM if terminated and runs.read_run(run.path).status == "interrupted" else 1)


def _records(folder: Path) -> dict[int, dict[str, Any]]:
    """Return rank → its record (agrae_lab.process)."""
    return {int(path.stem): runs.read_json_if_any(path) for path in folder.glob("*.json") if path.stem.isdigit()}


def _record_failure(path: Path, error: str) -> None:
    """Write a cause in place of the main process's, which knows only that another has gone."""
    deadline = time.monotonic() + LOCK_SECONDS
    while runs.Run(path, {}).is_locked() and time.monotonic() < deadline:
        time.sleep(0.02)
    with runs.lock(path):
        if runs.read_run(path).status not in runs.FINAL_STATUSES:
            runs.update_meta(path, status="failed", error=error)
