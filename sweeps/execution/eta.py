"""Estimates of the remaining time, in seconds; None wherever nothing is known yet."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from agrae_lab import runs
from agrae_lab.runs.processes import Layout

PROBLEMS = 1000  # of a benchmark without a limit, all alike where two runs name the same benchmarks


def recorded_seconds(run: runs.Run) -> float | None:
    """Return the recorded duration of a finished run, over all its attempts."""
    timings = [seconds for seconds in run.meta.get("timings", {}).values() if seconds is not None]
    return float(sum(timings)) if timings else None


def typical_seconds(finished: Sequence[runs.Run]) -> float | None:
    """Return the median duration of the finished runs, which one slow run does not move."""
    known = [seconds for run in finished if (seconds := recorded_seconds(run)) is not None]
    return statistics.median(known) if known else None


def seconds_by_arithmetic(config: Mapping[str, Any], finished: Sequence[runs.Run]) -> float | None:
    """Return the expected seconds of a run from finished runs of the same model and engine, else None.

    Training and evaluation each scale with their completions times the tokens of a completion at most, and inversely
    with the processes.
    """
    like = [run for run in finished if all(_kind(run.config)) and _kind(run.config) == _kind(config)]
    total = 0.0
    for phase, work in (("train_seconds", _trained_tokens), ("evaluate_seconds", _evaluated_tokens)):
        rates = [
            run.meta["timings"][phase] * Layout.of(run.config).processes / work(run.config)
            for run in like
            if run.meta.get("timings", {}).get(phase)
        ]
        if not rates:
            return None
        total += statistics.median(rates) * work(config) / Layout.of(config).processes
    return total


def _kind(config: Mapping[str, Any]) -> tuple[Any, Any]:
    return (config.get("model") or {}).get("path"), config.get("engine")


def _trained_tokens(config: Mapping[str, Any]) -> float:
    train = config["train"]
    return float(
        math.prod(train[key] for key in ("num_steps", "num_prompts", "num_generations", "max_completion_length"))
    )


def _evaluated_tokens(config: Mapping[str, Any]) -> float:
    evaluation = config["evaluation"]
    problems = sum(one.get("limit") or PROBLEMS for one in evaluation["benchmarks"].values())
    return float(problems * evaluation["num_samples"] * evaluation["max_new_tokens"])


def run_remaining(progress: Mapping[str, Any], *, elapsed: float, typical: float | None) -> float | None:
    """Return the seconds left of one run: at its present phase's speed, but at least those of a typical run."""
    left = []
    if progress.get("done") and progress.get("total") and progress.get("seconds"):
        left.append(progress["seconds"] / progress["done"] * (progress["total"] - progress["done"]))
    if typical is not None:
        left.append(max(0.0, typical - elapsed))
    return max(left, default=None)


def longest_seconds(elapsed: Sequence[float], left: Sequence[float | None]) -> float | None:
    """Return the longest expected duration of the active runs, in place of a typical one while none has finished."""
    return max((e + rest for e, rest in zip(elapsed, left, strict=True) if rest is not None), default=None)


def sweep_remaining(
    active: Sequence[float | None], *, num_waiting: int, typical: float | None, num_slots: int
) -> float | None:
    """Return the seconds until the last slot is free, if each waiting run starts on the first free slot.

    Args:
        active: seconds left of each active run.
        typical: seconds of a whole run, assumed for each waiting one.
    """
    if None in active or (num_waiting and typical is None):
        return None
    free_at = [seconds or 0.0 for seconds in active] + [0.0] * (num_slots - len(active))
    heapq.heapify(free_at)
    for _ in range(num_waiting):
        heapq.heapreplace(free_at, free_at[0] + (typical or 0.0))
    return max(free_at)
