"""Replacement of agrae_lab.train without torch: the same two functions, and misbehaviour on request.

`arm` is the behaviour of a run: ok, raise, value_error, exit, sigkill, die_early (before it writes any status),
die_late (after it wrote "done"), diverge, oom, offline (ConnectionError), too_large (a file beyond RLIMIT_FSIZE), full
(fills the disk), scribble (ruins its meta.json), hang, deaf (hangs and ignores SIGTERM), until_told (hangs until the
root has a file `go`), shared (needs a result that one run makes for all); with the suffix _once, in its first attempt
only. Every step leaves a line with its time and process in trace.txt; result.json has the result.
"""

from __future__ import annotations

import itertools
import logging
import os
import resource
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
        run = runs.read_run(path)
        if run.status in runs.FINAL_STATUSES:
            return run.status
        config = run.config
        if config["arm"] == "die_early":
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if config["arm"] == "deaf" else _interrupt)
        attempts = [*run.meta.get("attempts", []), {"pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0))}]
        runs.update_meta(path, status="running", error=None, attempts=attempts)
        started = time.monotonic()
        try:
            status = _train(path, config, first=len(attempts) == 1)
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
    return [(int(step), float(when)) for step, when, _ in _trace(run_dir)]


def pids(run_dir: Path) -> list[int]:
    """The processes that took these steps, in order, each named once for steps in a row."""
    return [pid for pid, _ in itertools.groupby(int(pid) for _, _, pid in _trace(run_dir))]


def _trace(run_dir: Path) -> list[list[str]]:
    path = run_dir / "trace.txt"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [line.split() for line in lines if line.endswith("\n")]  # a torn last line is a step not taken


class _Interrupted(SystemExit):
    pass


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise _Interrupted(143)


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


def _train(path: Path, config: dict, *, first: bool) -> str:
    print("a word from the run")
    logging.getLogger(__name__).info("a line from its logger")
    arm, num_steps = config["arm"], config["train"]["num_steps"]
    if arm == "shared":
        _make_or_wait(path.parent.parent / "base" / "shared", config)
    done = [step for step, _ in steps(path)]  # the trace is the checkpoint
    _remove_torn_line(path / "trace.txt")
    for step in range(max(done, default=0) + 1, num_steps + 1):
        with (path / "trace.txt").open("a") as trace:
            trace.write(f"{step} {time.time()} {os.getpid()}\n")
        progress = {"phase": "train", "done": step, "total": num_steps, "seconds": 1.0, "pace": 1.0 / step}
        runs.write_json(path / "progress.json", progress)
        if first or not arm.endswith("_once"):
            _misbehave(arm.removesuffix("_once"), path)
        time.sleep(config["train"]["step_seconds"])
    runs.write_json(path / "result.json", {"seed": config["seed"], "steps": [step for step, _ in steps(path)]})
    return "diverged" if arm == "diverge" else "done"


def _remove_torn_line(trace: Path) -> None:
    if trace.exists():
        whole = "".join(line for line in trace.read_text().splitlines(keepends=True) if line.endswith("\n"))
        trace.write_text(whole)


def _make_or_wait(base: Path, config: dict) -> None:
    with runs.lock(base, wait=True):
        if not (base / "made").exists():
            time.sleep(config["train"]["step_seconds"])
            with (base / "made").open("a") as made:
                made.write(f"{os.getpid()}\n")


def _misbehave(arm: str, path: Path) -> None:
    if arm == "raise":
        raise RuntimeError("the reward is on fire")
    if arm == "value_error":
        raise ValueError("train.beta is 7, but it lies between 0 and 1")
    if arm == "oom":
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if arm == "offline":
        raise ConnectionError("the store is away")
    if arm == "scribble":
        (path / "meta.json").write_text('{"status": ')
        sys.exit(3)
    if arm == "exit":
        sys.exit(3)
    if arm == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if arm == "too_large":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
        (path / "checkpoint").write_bytes(bytes(1 << 20))
    if arm == "full":
        with (path / "checkpoint").open("ab") as checkpoint:
            while True:
                checkpoint.write(bytes(1 << 12))
                checkpoint.flush()
    if arm in ("hang", "deaf"):
        while True:
            time.sleep(1)
    while arm == "until_told" and not (path.parent.parent / "go").exists():
        time.sleep(0.02)
