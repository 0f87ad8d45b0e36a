"""The processes of one run: as its config asks for them, and as torchrun and accelerate describe them.

Outside of such a launcher a run has one process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agrae_lab.runs.files import RunError

LAUNCHED_BY = "AGRAE_LAUNCHED_BY"  # variable with the id of the process that has started a launcher, or became it
WATCHED_PARENT = "AGRAE_WATCHED_PARENT"  # variable with the id of the process that a run ends with, such as a sweep's


def rank() -> int:
    """Return this process's number among all processes of the run."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return this process's number among those on this machine, which is also its GPU's."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def num_processes() -> int:
    """Return the number of processes of the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def num_local_processes() -> int:
    """Return the number of processes of the run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def is_main() -> bool:
    """Return whether this is the run's main process, which writes its records."""
    return rank() == 0


def is_launched() -> bool:
    """Return whether a launcher, ours or the user's, has started this process."""
    return "WORLD_SIZE" in os.environ


def strategy() -> str:
    """Return the strategy under which this process trains, from the environment that the launcher has set."""
    names = {"fsdp": "ACCELERATE_USE_FSDP", "deepspeed": "ACCELERATE_USE_DEEPSPEED"}
    return next((name for name, variable in names.items() if os.environ.get(variable) == "true"), "ddp")


@dataclass(frozen=True)
class Layout:
    """Processes that a config asks for: section `hardware`."""

    processes: int = 1  # on all machines together
    nodes: int = 1  # machines
    launcher: str = "torchrun"
    strategy: str = "ddp"
    device: str = "auto"  # hardware.device

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Layout:
        """Return the layout of a config; one process has no use for a strategy."""
        hardware = config.get("hardware") or {}
        processes, device = hardware.get("processes", 1), hardware.get("device", "auto")
        if processes == 1:
            return cls(nodes=hardware.get("nodes", 1), device=device)
        chosen = hardware.get("strategy", "ddp")
        launcher = hardware.get("launcher") or ("torchrun" if chosen == "ddp" else "accelerate")
        return cls(processes, hardware.get("nodes", 1), launcher, chosen, device)

    @property
    def per_node(self) -> int:
        """Processes on each machine."""
        return self.processes // self.nodes

    def fault(self, config: Mapping[str, Any]) -> str | None:
        """Return a sentence for the first fault that needs no machine to be seen; None without any."""
        if self.processes % self.nodes:
            return (
                f"hardware.processes: {self.processes} processes do not divide over hardware.nodes = {self.nodes} "
                "machines. Choose a multiple"
            )
        if self.strategy != "ddp" and self.launcher == "torchrun":
            return f"hardware.launcher: torchrun cannot set up {self.strategy}. Set accelerate, or leave it out"
        if self.launcher == "accelerate" and self.device == "cpu":
            return (
                "hardware.device: accelerate starts processes on GPUs only. On the CPU, set hardware.strategy=ddp and "
                "hardware.launcher=torchrun"
            )
        train, vllm = config["train"], config["hardware"]["vllm"]
        batch = train["num_prompts"] * train["num_generations"] // train["num_minibatches"]
        if batch % self.processes:
            return (
                f"hardware.processes: a mini-batch of {batch} completions does not divide over {self.processes} "
                f"processes. Choose a number that divides {batch}"
            )
        per_device = config["hardware"]["per_device_batch_size"]
        if per_device and (share := batch // self.processes) % min(per_device, share):
            return (
                f"hardware.per_device_batch_size: {per_device} does not divide the {share} completions of a mini-batch "
                f"on each of {self.processes} processes. Choose a divisor of {share}"
            )
        parallel = vllm["tensor_parallel"]
        shared = vllm["server"] is None or self.per_node > 1  # else the evaluation has GPUs that no process trains on
        if config["engine"] == "vllm" and shared and self.per_node % parallel:
            return (
                f"hardware.vllm.tensor_parallel: {parallel} does not divide the {self.per_node} processes of a "
                "machine. Choose a divisor, or set hardware.processes"
            )
        return None

    def check_machine(self, num_gpus: int) -> None:
        """Check that a machine with so many GPUs can start its share of the processes.

        Raises:
            RunError: it cannot.
        """
        if self.device == "cpu" or self.processes == 1:
            return
        if num_gpus == 0 and (self.launcher == "accelerate" or self.device == "cuda"):
            why = f"hardware.strategy: {self.strategy}" if self.strategy != "ddp" else "hardware.processes: this run"
            raise RunError(
                f"{why} needs {self.per_node} GPUs, and this machine has none. Run it where they are, or set "
                "hardware.strategy=ddp and hardware.device=cpu"
            )
        if 0 < num_gpus < self.per_node:
            raise RunError(
                f"hardware.processes: a run of {self.per_node} processes on a machine needs {self.per_node} GPUs, and "
                f"this one has {num_gpus}. Lower hardware.processes, or run it where they are (docs/clusters.md)"
            )


def resume_fault(layout: Layout, attempts: list[Mapping[str, Any]]) -> str | None:
    """Return the reason why a run with a checkpoint cannot resume with another layout; None if it can.

    With ddp and fsdp, the number of processes may change: a checkpoint holds the whole state, or shards that are read
    by any number. DeepSpeed's shards belong to their processes.

    Args:
        attempts: the run's attempts, from meta.json.
    """
    last = attempts[-1] if attempts else {}
    before, number = last.get("strategy"), last.get("processes")
    if before is None:
        return None
    if before != layout.strategy:
        return (
            f"hardware.strategy: the checkpoints are of {before}, and {layout.strategy} cannot read them. Set "
            f"hardware.strategy={before}{f' and hardware.processes={number}' if number else ''}, or delete them"
        )
    if before == "deepspeed" and number != layout.processes:
        return (
            f"hardware.processes: DeepSpeed's checkpoints of {number} processes cannot be read by {layout.processes}. "
            f"Set hardware.processes={number}, or delete them"
        )
    return None
