"""Stands in for agrae_lab.train: the same two functions, no torch, and misbehaviour on request.

`arm` says what a run does: ok, raise, exit, sigkill, die_early (before it writes any status), die_late (after it wrote
"done"), diverge, hang, deaf (hangs and ignores SIGTERM). Every step leaves a line in trace.txt, so that tests see what
was executed when, and by whom.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from omegaconf import DictConfig, OmegaConf

from agrae_lab import runs


def freeze(cfg: DictConfig) -> dict:
    config = OmegaConf.to_container(cfg, resolve=True)
    if config["train"]["num_steps"] < 1:
        raise ValueError(f"train.num_steps is {config['train']['num_steps']}, but a run takes at least 1 step")
    return config


def execute(run_dir: str) -> str:
    path = Path(run_dir)
    with runs.lock(path):
        config = runs.read_run(path).config
        if config["arm"] == "die_early":
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if config["arm"] == "deaf" else _interrupt)
        runs.update_meta(path, status="running", error=None)
        started = time.monotonic()
        try:
            status = _train(path, config)
        except Exception as error:
            runs.update_meta(path, status="failed", error=f"{type(error).__name__}: {error}")
            raise
        except _Interrupted:
            runs.update_meta(path, status="interrupted")
            raise
        runs.update_meta(path, status=status, timings={"train_seconds": time.monotonic() - started})
        if config["arm"] == "die_late":
            os.kill(os.getpid(), signal.SIGSEGV)
        return status


def steps(run_dir: Path) -> list[tuple[int, float]]:
    """(step, time) of every step that was ever executed in this run directory."""
    path = run_dir / "trace.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), float(line.split()[1])) for line in lines]


class _Interrupted(SystemExit):
    pass


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise _Interrupted(143)


def _train(path: Path, config: dict) -> str:
    print("a word from the run")
    logging.getLogger(__name__).info("a line from its logger")
    arm, num_steps = config["arm"], config["train"]["num_steps"]
    done = max((step for step, _ in steps(path)), default=0)  # the trace is the checkpoint
    for step in range(done + 1, num_steps + 1):
        with (path / "trace.txt").open("a") as trace:
            trace.write(f"{step} {time.time()} {os.getpid()}\n")
        progress = {"phase": "train", "done": step, "total": num_steps, "seconds": 1.0}
        runs.write_json(path / "progress.json", progress)
        _misbehave(arm)
        time.sleep(config["train"]["step_seconds"])
    return "diverged" if arm == "diverge" else "done"


def _misbehave(arm: str) -> None:
    if arm == "raise":
        raise RuntimeError("the reward is on fire")
    if arm == "exit":
        sys.exit(3)
    if arm == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if arm in ("hang", "deaf"):
        while True:
            time.sleep(1)
