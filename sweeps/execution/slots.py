"""Slots of this machine: the number of runs at a time, with the cores and the GPU of each.

Everything is read from the environment and the driver, never from torch: the controller must not touch CUDA.
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
    """Resources of one run at a time."""

    num_threads: int
    gpu: str | None  # for CUDA_VISIBLE_DEVICES; None on a machine without GPUs
    cores: tuple[int, ...] = ()  # exclusive to the slot; (): left to the kernel

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a run's process."""
        threads = str(self.num_threads)
        shared = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        return shared if self.gpu is None else {**shared, "CUDA_VISIBLE_DEVICES": self.gpu}

    def apply(self) -> None:
        """Confine this process, and all that it will start, to the slot."""
        os.environ.update(self.environment())
        if self.cores:
            with suppress(OSError):  # the cores may have been taken away meanwhile
                os.sched_setaffinity(0, self.cores)


def make_slots(num_runs: int, *, num_slots: int | None = None) -> list[Slot]:
    """Return slots for `num_runs` runs: one per visible GPU, else one per core that this process may use.

    All slots have the same number of threads, which decides a result's last bits. Without GPUs, the cores are divided
    between the slots; a run on a GPU is left to the kernel, which places it near its GPU if it can.

    Args:
        num_runs: the largest number of slots. Without `num_slots`, few runs get more threads each.
        num_slots: the number of runs at a time instead. Beyond the number of GPUs, runs share them. It decides the
            threads of each run, even if fewer runs are left: give the same number to all launches of a sweep.

    Raises:
        PlanError: num_slots below 1.
    """
    if num_slots is not None and num_slots < 1:
        raise PlanError([f"slots is {num_slots}, but must be at least 1"])
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


def num_sweep_slots(num_runs: int, *, num_slots: int | None = None) -> int:
    """Return the number of runs at a time of a sweep.

    Without `num_slots` it follows from all its runs, not only those left: a resumed sweep then gives each run the same
    number of threads.

    Args:
        num_runs: all runs of the sweep.
    """
    return len(make_slots(num_runs)) if num_slots is None else num_slots


def visible_gpus() -> list[str]:
    """Return the GPU names for CUDA_VISIBLE_DEVICES; [] without a GPU."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    num_gpus = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(i) for i in range(num_gpus)]
