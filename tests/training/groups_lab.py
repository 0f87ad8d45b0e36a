"""Studies of real runs of two processes (gloo, the nano world): their launch, their processes, and their records."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import yaml

from agrae_lab import runs
from tests.documents import ROOT
from tests.training.test_runs_end_to_end import TIMES, metrics, rollouts

# a checkpoint at each step, so that every attempt that gets through one goes further than the one before
SETTINGS = (
    "train.num_prompts=8",
    "train.num_generations=4",
    "train.num_minibatches=1",
    "train.checkpoint_every=1",
    "train.validate_every=0",
    "evaluation.num_samples=8",
    "evaluation.batch_size=64",
    "evaluation.benchmarks.countdown_test.limit=16",
    "hardware.device=cpu",
)


@dataclass
class Groups:
    """A study `quest` of runs of two processes, and the command that runs it."""

    root: Path
    seeds: tuple[int, ...] = (0,)
    num_steps: int = 3
    processes: int = 2
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[str]:
        """Start `python -m sweeps run` in a process of its own."""
        self.root.mkdir(parents=True, exist_ok=True)
        study = self.root / "quest.yaml"
        words = [*SETTINGS, f"train.num_steps={self.num_steps}", f"hardware.processes={self.processes}"]
        text = {"question": "Is it whole?", "base": ["world=nano", *words], "seeds": list(self.seeds)}
        study.write_text(yaml.safe_dump({**text, "stop": {"retries": 50}, "resources": {"slots": 1}}))
        command = [sys.executable, "-m", "sweeps", "run", str(study), f"root={self.root / 'runs'}"]
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self._started.append(process)
        return process

    def finish(self, process: subprocess.Popen[str] | None = None, *, seconds: float = 900) -> list[runs.Run]:
        """Wait for a launch, by default a new one, and return its runs."""
        process = process or self.start()
        out, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, out
        return self.runs()

    def runs(self) -> list[runs.Run]:
        return sorted(runs.list_runs(self.root / "runs"), key=lambda run: run.seed)

    def stop(self) -> None:
        """End what a failed test has left."""
        for process in self._started:
            if process.poll() is not None:
                continue
            for descendant in everything_below(process.pid):
                with suppress(psutil.NoSuchProcess):
                    descendant.kill()
            process.kill()
            process.wait()


def environment() -> dict[str, str]:
    """Return the environment of a process on a machine without GPUs that imports this repository."""
    shared = {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **shared, "PYTHONDONTWRITEBYTECODE": "1"}


def everything_below(pid: int) -> list[psutil.Process]:
    """Return a process's descendants: fork server, workers, launchers, and the runs' processes."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def group_of(run: runs.Run) -> dict[int, int]:
    """Return rank → process id of a run's latest processes that are alive."""
    found = {}
    for path in (run.path / "processes").glob("*.json"):
        with suppress(runs.RunError, KeyError, TypeError):
            pid = runs.read_json_if_any(path)["pid"]
            if psutil.pid_exists(pid):
                found[int(path.stem)] = pid
    return found


def assert_same_results(mine: list[runs.Run], theirs: list[runs.Run]) -> None:
    """Check that two lists of runs have the same rollouts, metrics and evaluation samples, to the last bit."""
    assert [(run.key, run.status) for run in mine] == [(run.key, "done") for run in theirs]
    for one, other in zip(mine, theirs, strict=True):
        pd.testing.assert_frame_equal(rollouts(one), rollouts(other))
        pd.testing.assert_frame_equal(metrics(one).drop(columns=TIMES), metrics(other).drop(columns=TIMES))
        for path, same in zip(samples(one), samples(other), strict=True):
            pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(same))


def samples(run: runs.Run) -> list[Path]:
    """Return the samples of the run's own evaluation and of the base model's."""
    found = [run.samples_path("countdown_test"), run.base_samples_path("countdown_test")]
    return [path for path in found if path is not None]
