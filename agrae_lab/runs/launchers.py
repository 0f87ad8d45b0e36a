"""Command lines of the launchers that start a run's processes: torchrun and `accelerate launch`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agrae_lab.runs.processes import LAUNCHED_BY, Layout

ACCELERATE_DIR = Path(__file__).resolve().parents[2] / "conf" / "accelerate"
_PYTHON = (sys.executable, "-P")  # -P: a folder agrae_lab/ in the working directory is not taken for ours


def command(
    config: Mapping[str, Any], program: Sequence[str], *, node: int = 0, address: str | None = None
) -> list[str]:
    """Return the command that starts this machine's processes of a run.

    Args:
        program: words after `python` of each process.
        node: number of this machine among the run's.
        address: `<host>:<port>` of machine 0, for runs on several machines.
    """
    layout = Layout.of(config)
    host, _, port = (address or f"127.0.0.1:{free_port()}").rpartition(":")
    if layout.launcher == "torchrun":
        words = ["-m", "torch.distributed.run", f"--nnodes={layout.nodes}", f"--nproc-per-node={layout.per_node}"]
        words += [f"--node-rank={node}", f"--master-addr={host}", f"--master-port={port}", "--no-python"]
    else:
        words = ["-m", "accelerate.commands.launch", f"--config_file={ACCELERATE_DIR / f'{layout.strategy}_1x8.yaml'}"]
        words += [f"--num_processes={layout.processes}", f"--num_machines={layout.nodes}", f"--machine_rank={node}"]
        words += [f"--main_process_ip={host}", f"--main_process_port={port}"]
        words += [f"--mixed_precision={'bf16' if config['model']['dtype'] == 'bfloat16' else 'no'}", "--no_python"]
    return [*_PYTHON, *words, *_PYTHON, *program]


def environment() -> dict[str, str]:
    """Return this process's environment, with which a launched Python imports the same modules and knows its owner."""
    modules = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return {**os.environ, "PYTHONPATH": modules, LAUNCHED_BY: str(os.getpid())}


def free_port() -> int:
    """Return a port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
