"""Replacement of agrae_lab.train in searches: no torch, but the files with a trial's values.

`train.mood` is the behaviour of a run: ok, raise, diverge, infinite (its loss), dumb (its score is 0), wait (at every
step, until the root has a file `go`). The score is highest at train.x = 0.3. Every step leaves a line in trace.txt.
"""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from types import FrameType

import pandas  # noqa: F401 - pyarrow imports it to make a table: here once, before the runs are forked
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from agrae_lab import runs

NUM_PROBLEMS = 12


def freeze(cfg: DictConfig) -> dict:
    config = OmegaConf.to_container(cfg, resolve=True)
    if not 0 <= config["train"]["x"] <= 1:
        raise ValueError(f"train.x must lie in [0, 1], got {config['train']['x']}")
    return config


def execute(run_dir: str) -> str:
    path = Path(run_dir)
    with runs.lock(path):
        run = runs.read_run(path)
        if run.status in runs.FINAL_STATUSES:
            return run.status
        signal.signal(signal.SIGTERM, _interrupt)
        runs.update_meta(path, status="running", error=None)
        try:
            status = _train(run)
        except _Interrupted:
            runs.update_meta(path, status="interrupted")
            raise
        except Exception as error:
            runs.update_meta(path, status="failed", error=f"{type(error).__name__}: {error}")
            raise
        _evaluate(run)
        runs.update_meta(path, status=status)
        return status


def score(config: dict) -> float:
    """Return the run's score in [0, 1]; it rises a little with the seed."""
    if config["train"]["mood"] == "dumb":
        return 0.0
    extra = config["kind"].get("alpha") or config["kind"].get("beta") or 0.0
    return 0.8 - (config["train"]["x"] - 0.3) ** 2 + 0.02 * config["seed"] + 0.01 * extra


def steps(run_dir: Path) -> list[int]:
    """Every step that was ever executed in this run directory."""
    path = run_dir / "trace.txt"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


class _Interrupted(SystemExit):
    pass


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise _Interrupted(143)


def _train(run: runs.Run) -> str:
    train = run.config["train"]
    if train["mood"] == "raise" and steps(run.path):  # again, whatever it had done by then
        raise RuntimeError("the reward is on fire")
    for step in range(max(steps(run.path), default=0) + 1, train["num_steps"] + 1):  # the trace is the checkpoint
        with (run.path / "trace.txt").open("a") as trace:
            trace.write(f"{step}\n")
        _record(run, step)
        if train["mood"] == "raise":
            raise RuntimeError("the reward is on fire")
        while train["mood"] == "wait" and not (run.root / "go").exists():
            time.sleep(0.02)
        time.sleep(train["step_seconds"])
    return "diverged" if train["mood"] == "diverge" else "done"


def _record(run: runs.Run, step: int) -> None:
    """metrics.parquet as it stands after a step: the score is reached little by little."""
    at = list(range(1, step + 1))
    rows = {
        "schema_version": [runs.SCHEMA_VERSION] * step,
        "step": at,
        "greedy_accuracy": [score(run.config) * i / run.config["train"]["num_steps"] for i in at],
        "loss": [math.inf if run.config["train"]["mood"] == "infinite" else 1.0 / i for i in at],
    }
    _write(run.metrics_path, rows)


def _evaluate(run: runs.Run) -> None:
    """samples.parquet of each benchmark: problem i is solved by a share of samples that falls with i."""
    num_samples = run.config["evaluation"]["num_samples"]
    rows: dict[str, list] = {name: [] for name in ("problem_id", "sample", "correct")}
    for i in range(NUM_PROBLEMS):
        share = min(1.0, max(0.0, score(run.config) + 0.2 - 0.4 * i / (NUM_PROBLEMS - 1)))
        for sample in range(num_samples):
            rows["problem_id"].append(f"p{i:02d}")
            rows["sample"].append(sample)
            rows["correct"].append(sample < round(share * num_samples))
    number = len(rows["sample"])
    constants = {"schema_version": 1, "decoding": "sample", "valid": True, "temperature": 1.0, "top_p": 1.0}
    for benchmark in run.config["evaluation"]["benchmarks"]:
        _write(run.samples_path(benchmark), rows | {name: [value] * number for name, value in constants.items()})


def _write(path: Path, rows: dict[str, list]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with runs.replacing(path) as temporary:
        pq.write_table(pa.table(rows), temporary)
