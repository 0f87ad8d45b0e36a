"""Estimates of the remaining time, in seconds; None wherever nothing is known yet."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from agrae_lab import runs
from agrae_lab.runs.evaluated_steps import steps_to_keep
from agrae_lab.runs.processes import Layout

BEFORE_TRAINING = ("load", "evaluate base")  # phases of a run
PROBLEMS = 1000  # assumed for a benchmark without a limit; cancels where both runs have the same benchmarks


def recorded_seconds(run: runs.Run) -> float | None:
    """Return the recorded duration of a finished run, over all its attempts."""
    timings = [seconds for seconds in run.meta.get("timings", {}).values() if seconds is not None]
    return float(sum(timings)) if timings else None


def typical_seconds(finished: Sequence[runs.Run]) -> float | None:
    """Return the median duration of the finished runs, which one slow run does not move."""
    known = [seconds for run in finished if (seconds := recorded_seconds(run)) is not None]
    return statistics.median(known) if known else None


def is_trained(run: runs.Run) -> bool:
    """Return whether a run needs no more than its evaluations."""
    return (run.path / "model").is_dir()


def expected_seconds(run: runs.Run, finished: Sequence[runs.Run], *, trained: bool) -> float | None:
    """Return the expected duration of a run, from finished ones of its model, task and engine; None without any.

    Training and evaluation each scale with their completions times the tokens of a completion at most, and inversely
    with the processes.
    """
    estimates = [_scaled_seconds(run, other, trained=trained) for other in finished_like(run, finished)]
    return statistics.median(estimates) if estimates else None


def finished_like(run: runs.Run, finished: Sequence[runs.Run]) -> list[runs.Run]:
    """Return the finished runs of a run's model, task and engine, as far as they recorded their durations."""
    return [other for other in finished if other.meta.get("timings") and _kind(other.config) == _kind(run.config)]


def expected_beside(run: runs.Run, active: Sequence[tuple[runs.Run, float]]) -> float | None:
    """Return the expected duration of a run before one like it has finished; None without any active run like it.

    It is the longest duration scaled from active runs like it.

    Args:
        active: runs with their expected durations, which scale with the work of training.
    """
    alike = [(other, seconds) for other, seconds in active if _kind(other.config) == _kind(run.config)]
    return max((s * _training_work(run.config) / _training_work(other.config) for other, s in alike), default=None)


def _scaled_seconds(run: runs.Run, finished: runs.Run, *, trained: bool) -> float:
    """Return the recorded seconds of a finished run, scaled to the work that another one still has."""
    total = 0.0
    for name, seconds in finished.meta["timings"].items():
        if trained and name == "train_seconds":
            continue
        work = _evaluation_work if name == "evaluate_seconds" else _training_work
        total += (seconds or 0.0) * work(run.config) / work(finished.config)
    return total * Layout.of(finished.config).processes / Layout.of(run.config).processes


def _kind(config: Mapping[str, Any]) -> tuple[Any, ...]:
    names = (("model", "path"), ("task", "name"))
    return (*((config.get(section) or {}).get(key) for section, key in names), config.get("engine"))


def _training_work(config: Mapping[str, Any]) -> float:
    train = config.get("train") or {}
    sizes = ("num_steps", "num_prompts", "num_generations", "max_completion_length")
    return float(math.prod(train.get(key) or 1 for key in sizes))


def _evaluation_work(config: Mapping[str, Any]) -> float:
    evaluation = config.get("evaluation") or {}
    benchmarks = (evaluation.get("benchmarks") or {}).values()
    problems = sum((benchmark or {}).get("limit") or PROBLEMS for benchmark in benchmarks)
    sizes = (problems, evaluation.get("num_samples"), evaluation.get("max_new_tokens"), _num_policies(config))
    return float(math.prod(size or 1 for size in sizes))


def _num_policies(config: Mapping[str, Any]) -> int:
    """Return the number of a run's own policies that are evaluated: the last one, and those that training keeps."""
    is_known = config.get("evaluation") and (config.get("train") or {}).get("num_steps")
    return 1 + len(steps_to_keep(config)) if is_known else 1


def run_remaining(progress: Mapping[str, Any], *, elapsed: float, typical: float | None) -> float | None:
    """Return the seconds left of one run: at its present phase's speed, but at least those of a typical run.

    The speed of a phase before training says nothing of the rest.
    """
    left = []
    is_early = progress.get("phase") in BEFORE_TRAINING
    if not is_early and progress.get("pace") and progress.get("total"):
        left.append(progress["pace"] * (progress["total"] - progress["done"]))
    if typical is not None:
        left.append(max(0.0, typical - elapsed))
    return max(left, default=None)


def in_order_seconds(expected: Sequence[float], *, num_slots: int, free_at: Sequence[float] = ()) -> float:
    """Return the seconds until the last of these runs has ended, if each starts in order on the first free slot.

    Args:
        free_at: seconds until each slot in use is free; the others are free now.
    """
    slots = [*free_at, *[0.0] * (num_slots - len(free_at))]
    heapq.heapify(slots)
    for seconds in expected:
        heapq.heapreplace(slots, slots[0] + seconds)
    return max(slots)


def sweep_remaining(active: Sequence[float | None], *, waiting: Sequence[float | None], num_slots: int) -> float | None:
    """Return the seconds until the last slot is free, if each waiting run starts in order on the first free slot.

    Args:
        active: seconds left of each active run; None where not known.
        waiting: seconds of each waiting run.
    """
    left, rest = (
        [number for number in active if number is not None],
        [number for number in waiting if number is not None],
    )
    if len(left) + len(rest) < len(active) + len(waiting):
        return None
    return in_order_seconds(rest, num_slots=num_slots, free_at=left)
