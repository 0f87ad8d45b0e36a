"""A small lab for sweeps: a config directory, a root, and the command line in this process or in one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agrae_lab import runs
from sweeps.__main__ import main

CONFIG = """\
defaults:
  - _self_
schema_version: 1
root: ???
arm: ok
seed: 0
train: {num_steps: 2, step_seconds: 0.0}
experiment: {name: null, question: null}
hardware: {device: cpu}
"""

EXPERIMENT = """\
# @package _global_
experiment: {{name: {name}, question: 'What does {name} do?'}}
hydra:
  sweeper:
    params: {params}
"""

# The command line, in a process of its own that a test can interrupt or kill.
CONTROLLER = """\
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in what it runs in the background
import sweeps.executor
from sweeps.__main__ import main
sweeps.executor.GRACE_SECONDS = 1.0
conf, preload, *words = sys.argv[1:]
sys.exit(main(words, config_dir=Path(conf), train_module="fake_train", preload=preload.split()))
"""


@dataclass
class Lab:
    conf: Path
    root: Path
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def add_experiment(self, name: str, **params: str) -> None:
        text = EXPERIMENT.format(name=name, params=json.dumps(params))
        (self.conf / "experiment" / f"{name}.yaml").write_text(text)

    def sweep(self, *words: str) -> int:
        """`python -m sweeps run ...` in this process; the exit code."""
        argv = ["run", *words, f"root={self.root}"]
        return main(argv, config_dir=self.conf, train_module="fake_train", preload=())

    def start(self, *words: str, preload: str = "", terminal: int | None = None) -> subprocess.Popen[str]:
        """The same in a process group of its own, not waited for.

        Args:
            preload: a module in the directory of the configs.
            terminal: descriptor to print to; else it prints to a pipe.
        """
        argv = [sys.executable, "-c", CONTROLLER, str(self.conf), preload, "run", *words, f"root={self.root}"]
        out = subprocess.PIPE if terminal is None else terminal
        env = {**environment(), "TERM": "xterm", "COLUMNS": "120"}
        env["PYTHONPATH"] += f"{os.pathsep}{self.conf}"
        process = subprocess.Popen(
            argv, stdout=out, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End what a failing test left behind."""
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def runs(self) -> dict[str, runs.Run]:
        """`<arm> <seed>` → run."""
        return {f"{run.arm} {run.seed}": run for run in runs.list_runs(self.root)}

    def statuses(self) -> dict[str, str]:
        return {name: run.status for name, run in self.runs().items()}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "CUDA_VISIBLE_DEVICES": ""}


def ctrl_c(controller: subprocess.Popen[str]) -> None:
    """As a terminal does it: to the whole foreground process group."""
    os.killpg(controller.pid, signal.SIGINT)


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
