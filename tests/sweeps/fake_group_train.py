"""Replacement of agrae_lab.train for runs of several processes: fake_train on process 0, steps in time on the others.

`arm` is as in fake_train, for process 0; and for process 1: lost (killed by SIGKILL), odd (raises ValueError),
with the suffix _once in the run's first attempt only.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import fake_train
from fake_train import freeze
from fake_train import steps as steps

from agrae_lab import runs
from agrae_lab.runs.processes import rank

__all__ = ["execute", "freeze"]


def execute(run_dir: str) -> str:
    """Execute one process's share: process 0 waits for the others' sign of life, they wait for its end."""
    path = Path(run_dir)
    signs = path / "signs"
    signs.mkdir(exist_ok=True)
    if rank() == 0:
        return fake_train.execute(run_dir)
    arm = runs.read_run(path).config["arm"]
    first = not (signs / "first").exists()
    (signs / "first").touch()
    with (signs / f"{rank()}.txt").open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not (steps_taken := fake_train.steps(path)) or (first and len(steps_taken) < 2):
        time.sleep(0.02)
    if arm in ("lost", "lost_once") and (first or arm == "lost"):
        os.kill(os.getpid(), signal.SIGKILL)
    if arm == "odd":
        raise ValueError("train.beta is 7, but it lies between 0 and 1")
    while runs.read_run(path).status == "running":
        time.sleep(0.02)
    return "done"


def others(run_dir: Path) -> list[int]:
    """The ids of process 1 in all attempts, in order."""
    path = run_dir / "signs" / "1.txt"
    return [int(line) for line in path.read_text().split()] if path.exists() else []
