"""A small lab for sweeps: a config directory, a root, and the command line in this process or in one of its own."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from agrae_lab import runs
from sweeps.__main__ import main
from sweeps.execution import forkserver
from sweeps.execution.display import LineDisplay, print_summary
from sweeps.execution.executor import run_all
from sweeps.execution.retry_policy import RetryPolicy
from sweeps.execution.run_status import Outcome
from sweeps.execution.slots import make_slots

CONFIG = """\
defaults:
  - _self_
schema_version: 1
root: ???
arm: ok
seed: 0
train: {num_steps: 2, step_seconds: 0.0}
experiment: {name: null, question: null}
hardware: {device: cpu, processes: 1, nodes: 1, launcher: null, strategy: ddp}
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
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in what it runs in the background
import sweeps.execution.executor, sweeps.execution.retry_policy
from sweeps.__main__ import main
sweeps.execution.executor.GRACE_SECONDS = float(os.environ["GRACE_SECONDS"])
sweeps.execution.retry_policy.RETRY_SECONDS = 0.1
conf, preload, *words = sys.argv[1:]
sys.exit(main(words, config_dir=Path(conf), train_module="fake_train", preload=preload.split()))
"""


@cache
def start_fork_server() -> None:
    """Start this process's fork server with all that runs of any lab import; a sweep would start it with less."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():  # Python 3.11's server preloads from PYTHONPATH, not from sys.path
            patch.setenv(name, value)
        forkserver.load(("fake_train", "fake_search_train", "fake_protocol_train"))


@dataclass(frozen=True)
class Launch:
    """Outcomes of a launch, and its printed output."""

    outcomes: list[Outcome]
    interrupted: bool
    text: str


@dataclass
class Lab:
    conf: Path
    root: Path
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def add_experiment(self, name: str, **params: str) -> None:
        text = EXPERIMENT.format(name=name, params=json.dumps(params))
        (self.conf / "experiment" / f"{name}.yaml").write_text(text)

    def sweep(self, *words: str) -> int:
        """Execute `python -m sweeps run ...` in this process and return the exit code."""
        argv = ["run", *words, f"root={self.root}"]
        return main(argv, config_dir=self.conf, train_module="fake_train", preload=())

    def execute(self, *arms: str, retry_policy: RetryPolicy, num_slots: int = 2, **train: float) -> Launch:
        """Execute runs of these arms in this process; `train` is as in CONFIG."""
        train = {"num_steps": 2, "step_seconds": 0.0, **train}
        fixed = {"schema_version": 1, "root": str(self.root), "train": train}
        dirs = [runs.create_run({**fixed, "arm": arm, "seed": seed}) for seed, arm in enumerate(arms)]
        todo, out = [runs.read_run(path) for path in dirs], io.StringIO()
        outcomes, interrupted = run_all(
            todo,
            slots=make_slots(len(todo), num_slots=num_slots),
            train_module="fake_train",
            preload=(),
            display=LineDisplay(out, num_runs=len(todo)),
            retry_policy=retry_policy,
        )
        print_summary(Console(file=out, width=160), outcomes, [])
        return Launch(outcomes, interrupted, out.getvalue())

    def start(
        self, *words: str, preload: str = "", terminal: int | None = None, grace: float = 1.0
    ) -> subprocess.Popen[str]:
        """Start the command line in a process group of its own.

        Args:
            preload: a module in the directory of the configs.
            terminal: descriptor to print to; else it prints to a pipe.
            grace: seconds from SIGTERM to SIGKILL.
        """
        argv = [sys.executable, "-c", CONTROLLER, str(self.conf), preload, "run", *words, f"root={self.root}"]
        out = subprocess.PIPE if terminal is None else terminal
        env = {**environment(), "TERM": "xterm", "COLUMNS": "160", "GRACE_SECONDS": str(grace)}
        env["PYTHONPATH"] += f"{os.pathsep}{self.conf}"
        process = subprocess.Popen(
            argv, stdout=out, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End the processes of a failed test."""
        for process in self._started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def runs(self) -> dict[str, runs.Run]:
        """Return `<arm> <seed>` → run."""
        return {f"{run.arm} {run.seed}": run for run in runs.list_runs(self.root)}

    def statuses(self) -> dict[str, str]:
        return {name: run.status for name, run in self.runs().items()}


def environment() -> dict[str, str]:
    """Return the environment of a process that imports this folder's train modules and this repository's packages."""
    here = Path(__file__).parent
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}", "CUDA_VISIBLE_DEVICES": ""}


def ctrl_c(controller: subprocess.Popen[str]) -> None:
    """Interrupt the whole foreground process group, as a terminal does."""
    os.killpg(controller.pid, signal.SIGINT)


def failures(lab: Lab) -> dict[str, tuple[str, int] | None]:
    """Return `<arm> <seed>` → (class, failed attempts), from meta.json."""
    recorded = {name: run.meta.get("failure") for name, run in lab.runs().items()}
    return {name: None if one is None else (one["class"], one["attempt"]) for name, one in recorded.items()}


def read_until(descriptor: int, text: str) -> str:
    """Return a controller's output up to and with `text`."""
    seen = b""
    while text.encode() not in seen:
        assert select.select([descriptor], [], [], 20)[0], seen
        more = os.read(descriptor, 65536)
        assert more, seen
        seen += more
    return seen.decode(errors="replace")  # the read may end within a character


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
