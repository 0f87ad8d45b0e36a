"""Devices of a run: those of this process and those that a config plans, and their shares of its batches."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from agrae_lab.runs.processes import Layout, local_rank, num_local_processes, num_processes


def runs_on_cpu(config: Mapping[str, Any]) -> bool:
    """Return whether this process trains on the CPU: as hardware.device says, or for want of a GPU."""
    return config["hardware"]["device"] == "cpu" or not torch.cuda.is_available()


def uses_checkpointing(config: Mapping[str, Any], *, on_cpu: bool | None = None) -> bool:
    """Return whether the backward pass recomputes layers: as hardware.gradient_checkpointing says, else on a GPU."""
    setting = config["hardware"].get("gradient_checkpointing")
    on_cpu = runs_on_cpu(config) if on_cpu is None else on_cpu
    return not on_cpu if setting is None else bool(setting)


def divide_minibatch(config: Mapping[str, Any], *, processes: int | None = None) -> tuple[int, int]:
    """Return the completions of one update on each process, and of one forward and backward pass.

    Args:
        processes: of the run; None: as its launcher says.

    Raises:
        ValueError: the mini-batch does not divide evenly.
    """
    train = config["train"]
    minibatch = train["num_prompts"] * train["num_generations"] // train["num_minibatches"]
    processes = num_processes() if processes is None else processes
    per_process, rest = divmod(minibatch, processes)
    per_device = min(config["hardware"]["per_device_batch_size"] or per_process, per_process)
    if rest or per_process % per_device:
        raise ValueError(
            f"hardware.per_device_batch_size: a mini-batch of {minibatch} completions does not divide over "
            f"{processes} processes in parts of {per_device}. Choose numbers whose product divides {minibatch}"
        )
    return per_process, per_device


def num_shards() -> tuple[int, int]:
    """Return the numbers of devices that share one copy of the parameters, and of gradients and optimizer state.

    accelerate's launcher sets them.
    """
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        return num_processes(), num_processes()
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        stage = int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))
        return (num_processes() if stage >= 3 else 1), (num_processes() if stage >= 2 else 1)
    return 1, 1


@dataclass(frozen=True)
class Place:
    """Devices of a run, as far as its memory depends on them."""

    num_processes: int
    parameter_shards: int  # devices that share one copy of the parameters
    optimizer_shards: int  # devices that share gradients and optimizer state
    on_cpu: bool

    @classmethod
    def here(cls, config: Mapping[str, Any]) -> Place:
        """Return the place of this process, as its launcher says."""
        return cls(num_processes(), *num_shards(), runs_on_cpu(config))

    @classmethod
    def planned(cls, config: Mapping[str, Any], *, on_cpu: bool) -> Place:
        """Return the place that section `hardware` of a config plans."""
        layout = Layout.of(config)
        shards = 1 if layout.strategy == "ddp" else layout.processes
        return cls(layout.processes, shards, shards, on_cpu)


def device_memory(config: Mapping[str, Any]) -> tuple[str, int]:
    """Return name and bytes of the device that this process trains on; a machine's processes share its RAM."""
    if runs_on_cpu(config):
        ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return "the CPU", ram // num_local_processes()
    index = local_rank()
    return f"cuda:{index}", torch.cuda.get_device_properties(index).total_memory
