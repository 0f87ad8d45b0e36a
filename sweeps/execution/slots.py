"""How many runs this machine carries at a time, and which cores and GPU each of them gets.

Asks the environment and the driver, never torch: the process that starts the runs must not touch CUDA.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass

from sweeps.errors import PlanError


@dataclass(frozen=True)
class Slot:
    """Room for one run at a time."""

    num_threads: int
    gpu: str | None  # for CUDA_VISIBLE_DEVICES; None: a machine without GPUs
    cores: tuple[int, ...] = ()  # those that it has to itself; (): wherever the kernel puts it

    def environment(self) -> dict[str, str]:
        """Variables a run's process sets before it works."""
        threads = str(self.num_threads)
        shared = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        return shared if self.gpu is None else {**shared, "CUDA_VISIBLE_DEVICES": self.gpu}

    def take(self) -> None:
        """Confine this process, and all that it will start, to the slot."""
        os.environ.update(self.environment())
        if self.cores:
            with suppress(OSError):  # cores taken away meanwhile are no reason to fail
                os.sched_setaffinity(0, self.cores)


def make_slots(num_runs: int, *, num_slots: int | None = None) -> list[Slot]:
    """Slots for `num_runs` runs: one per visible GPU, else one per core that this process may use.

    All slots have the same number of threads, which decides a result's last bits. Without GPUs, the cores are dealt
    out; a run on a GPU is left where the kernel puts it, near its GPU if it can.

    Args:
        num_runs: there are never more slots than runs. Without `num_slots`, few runs get more threads each.
        num_slots: how many at a time instead; beyond the number of GPUs, runs share them in turn. It decides the
            threads of each, however few runs are left: give the same number to all launches of a sweep.

    Raises:
        PlanError: num_slots below 1.
    """
    if num_slots is not None and num_slots < 1:
        raise PlanError([f"slots is {num_slots}, but a sweep carries at least 1 run at a time"])
    cores = sorted(os.sched_getaffinity(0))
    gpus = visible_gpus()
    at_once = num_slots or max(1, min(len(gpus) or len(cores), num_runs))
    num_threads = max(1, len(cores) // at_once)
    count = max(1, min(at_once, num_runs))
    if gpus:
        return [Slot(num_threads, gpus[i % len(gpus)]) for i in range(count)]
    if at_once == 1 or at_once > len(cores):
        return [Slot(num_threads, None)] * count
    ends = [i * len(cores) // at_once for i in range(at_once + 1)]
    parts = [tuple(cores[start:end]) for start, end in itertools.pairwise(ends)]
    return [Slot(num_threads, None, part) for part in parts[:count]]


def slots_of_sweep(num_runs: int, *, num_slots: int | None = None) -> int:
    """How many runs of a sweep are carried at a time, by all of its runs: those left at the end get no more threads."""
    return len(make_slots(num_runs)) if num_slots is None else num_slots


def visible_gpus() -> list[str]:
    """Names that CUDA_VISIBLE_DEVICES takes; [] without a GPU."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    num_gpus = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(i) for i in range(num_gpus)]
