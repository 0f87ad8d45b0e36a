"""Slots of this machine: the number of runs at a time, with the cores and the GPUs of each.

Everything is read from the environment and the driver, never from torch: the controller must not touch CUDA.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agrae_lab import runs
from agrae_lab.runs.packages import check_packages
from agrae_lab.runs.processes import Layout
from sweeps.errors import PlanError


@dataclass(frozen=True)
class Slot:
    """Resources of one run at a time."""

    num_threads: int  # of each process of the run
    gpu: str | None  # for CUDA_VISIBLE_DEVICES, one for each process; None on a machine without GPUs
    cores: tuple[int, ...] = ()  # exclusive to the slot; (): left to the kernel
    is_elsewhere = False  # a run's own processes are on another machine

    def environment(self, processes: int = 1) -> dict[str, str]:
        """Return the environment variables of a run of so many processes, which sees as many GPUs."""
        threads = str(self.num_threads)
        shared = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
        return (
            shared
            if self.gpu is None
            else {**shared, "CUDA_VISIBLE_DEVICES": ",".join(self.gpu.split(",")[:processes])}
        )

    def apply(self, processes: int = 1) -> None:
        """Confine this process, and all that it will start, to the slot."""
        os.environ.update(self.environment(processes))
        if self.cores:
            with suppress(OSError):  # the cores may have been taken away meanwhile
                os.sched_setaffinity(0, self.cores)


def make_slots(num_runs: int, *, num_slots: int | None = None, layout: Layout = Layout()) -> list[Slot]:  # noqa: B008
    """Return slots for `num_runs` runs: one per visible GPU, else one per core that this process may use.

    A run of several processes takes as many GPUs or cores, and runs on the CPU take cores.

    All slots have the same number of threads, which decides a result's last bits. Without GPUs, the cores are divided
    between the slots; a run on a GPU is left to the kernel, which places it near its GPU if it can.

    Args:
        num_runs: the largest number of slots. Without `num_slots`, few runs get more threads each.
        num_slots: the number of runs at a time; None: one per GPU or core, at most num_runs. Beyond the number of GPUs,
            runs share them. It decides the threads of each run, even if fewer runs are left: give the same number to
            all launches of a sweep.
        layout: of the largest run.

    Raises:
        PlanError: num_slots below 1, or too few GPUs for a run.
    """
    check_num_slots(num_slots)
    cores, size = sorted(os.sched_getaffinity(0)), layout.per_node
    visible = [] if layout.device == "cpu" else visible_gpus()
    if visible:
        _check_gpus(layout, len(visible))
    gpus = [",".join(visible[i : i + size]) for i in range(0, len(visible) - size + 1, size)]
    num_slots_planned = num_slots or max(1, min(len(gpus) or len(cores) // size, num_runs))
    num_threads = max(1, len(cores) // (num_slots_planned * size))
    num_slots_made = max(1, min(num_slots_planned, num_runs))
    if gpus:
        return [Slot(num_threads, gpus[i % len(gpus)]) for i in range(num_slots_made)]
    if num_slots_planned == 1 or num_slots_planned * size > len(cores):
        return [Slot(num_threads, None)] * num_slots_made
    ends = [i * len(cores) // num_slots_planned for i in range(num_slots_planned + 1)]
    parts = [tuple(cores[start:end]) for start, end in itertools.pairwise(ends)]
    return [Slot(num_threads, None, part) for part in parts[:num_slots_made]]


def check_num_slots(num_slots: int | None) -> None:
    """Check a requested number of runs at a time; None requests none.

    Raises:
        PlanError: it is below 1.
    """
    if num_slots is not None and num_slots < 1:
        raise PlanError([f"slots is {num_slots}, but must be at least 1"])


def slots_of_launch(
    num_todo: int, *, num_runs: int, layout: Layout, num_slots: int | None, engine: str
) -> tuple[int | None, int]:
    """Return the number of slots that the engine is given, and the number of runs that are executed at a time.

    Without `num_slots`, a cluster is given None and executes all runs at once, as far as it has room; on this machine
    the number follows from all runs of the sweep, not only those left, so that a resumed sweep gives each run the same
    number of threads.

    Args:
        num_todo: the runs to execute.
        num_runs: all runs of the sweep.
        layout: of the largest run to execute.

    Raises:
        PlanError: as make_slots; a cluster is not held against this machine.
    """
    check_num_slots(num_slots)
    if engine != "local":
        return num_slots, max(1, min(num_slots or num_todo, num_todo))
    if num_slots is None:
        num_slots = len(make_slots(num_runs, layout=layout))
    return num_slots, len(make_slots(num_todo, num_slots=num_slots, layout=layout))


def largest_layout(configs: Iterable[Mapping[str, Any]]) -> Layout:
    """Return the layout with the most processes on a machine, among the runs that may use GPUs if there are any."""
    layouts = (Layout.of(config) for config in configs)
    return max(layouts, key=lambda layout: (layout.device != "cpu", layout.per_node), default=Layout())


def preload_for(configs: Iterable[Mapping[str, Any]], preload: Sequence[str]) -> Sequence[str]:
    """Return the modules that the fork server loads: none if a launcher loads them anew for every process."""
    return preload if any(Layout.of(config).processes == 1 for config in configs) else ()


def check_here(configs: Iterable[Mapping[str, Any]]) -> None:
    """Check that this machine can start the processes of these runs.

    Raises:
        PlanError: a run needs several machines, more GPUs than there are, or a package that is not installed.
    """
    num_gpus, configs = len(visible_gpus()), list(configs)
    check_installed(configs)
    for layout in dict.fromkeys(Layout.of(config) for config in configs):
        if layout.nodes > 1:
            raise PlanError(
                [f"hardware.nodes: a run on {layout.nodes} machines needs resources.engine slurm or ray (--engine)"]
            )
        _check_gpus(layout, num_gpus)


def check_installed(configs: Iterable[Mapping[str, Any]]) -> None:
    """Check that this machine has the packages that these runs need; on a cluster, each run's machine checks it.

    Raises:
        PlanError: one is not installed.
    """
    distinct = {
        (config.get("engine"), bool((config.get("model") or {}).get("lora")), Layout.of(config).strategy): config
        for config in configs
    }
    for config in distinct.values():
        try:
            check_packages(config)
        except ValueError as error:
            raise PlanError([str(error)]) from error


def _check_gpus(layout: Layout, num_gpus: int) -> None:
    try:
        layout.check_machine(num_gpus)
    except runs.RunError as error:
        raise PlanError([str(error)]) from error


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
