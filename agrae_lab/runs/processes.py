"""The processes of one run, as torchrun and accelerate describe them in the environment.

Outside of such a launcher a run has one process.
"""

from __future__ import annotations

import os


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
