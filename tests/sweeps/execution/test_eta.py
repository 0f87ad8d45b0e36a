"""Estimates of the remaining time, from durations that can be added up by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from agrae_lab import runs
from sweeps.execution.eta import (
    expected_seconds,
    in_order_seconds,
    longest_seconds,
    recorded_seconds,
    run_remaining,
    sweep_remaining,
    typical_seconds,
)


def run_with(**timings):
    return SimpleNamespace(meta={"timings": timings} if timings else {})


def test_a_run_lasts_as_long_as_its_phases_together() -> None:
    assert recorded_seconds(run_with(training=30, evaluation=12.5, base=None)) == 42.5
    assert recorded_seconds(run_with(training=None)) is None
    assert recorded_seconds(run_with()) is None


def test_a_typical_run_is_the_median_and_unknown_before_the_first_has_finished() -> None:
    finished = [run_with(training=10), run_with(training=500), run_with(training=20), run_with()]
    assert typical_seconds(finished) == 20
    assert typical_seconds([run_with()]) is None
    assert typical_seconds([]) is None


@pytest.mark.parametrize(
    ("progress", "elapsed", "typical", "left"),
    [
        ({"done": 10, "total": 40, "seconds": 20}, 20, None, 60),  # 2 s a step, 30 steps left
        ({"done": 10, "total": 40, "seconds": 20}, 20, 200, 180),  # an evaluation will follow
        ({"done": 0, "total": 40, "seconds": 1}, 20, None, None),
        ({}, 250, 200, 0),  # longer than typical: no negative time
    ],
)
def test_the_rest_of_a_run_follows_its_pace_and_the_typical_run(progress, elapsed, typical, left) -> None:
    assert run_remaining(progress, elapsed=elapsed, typical=typical) == left


def test_the_longest_expected_run_is_elapsed_plus_left() -> None:
    assert longest_seconds([10, 100, 30], [50, None, 45]) == 75
    assert longest_seconds([10], [None]) is None


def test_waiting_runs_start_on_the_slot_that_is_free_first() -> None:
    # slots free after 10 and 40 s; runs of 25 s end at 35, 60, 65 s
    assert sweep_remaining([10, 40], num_waiting=3, typical=25, num_slots=2) == 65
    assert sweep_remaining([10], num_waiting=1, typical=25, num_slots=2) == 25  # the second slot is idle
    assert sweep_remaining([10, None], num_waiting=0, typical=25, num_slots=2) is None
    assert sweep_remaining([10], num_waiting=1, typical=None, num_slots=1) is None


def run_of(path: Path, *, timings: dict[str, float] | None = None, model: str = "nano", **train: int) -> runs.Run:
    config = {"model": {"path": model}, "train": {"num_steps": 10, "num_prompts": 8, "num_generations": 4, **train}}
    config["evaluation"] = {"num_samples": 16, "benchmarks": {"b": {}}}
    return runs.Run(path / "a-12345678" / "seed-0", config, {"status": "done", "timings": timings or {}})


def test_estimates_scale_with_steps_completions_and_samples(tmp_path: Path) -> None:
    finished = [run_of(tmp_path, timings={"train_seconds": 100.0, "evaluate_seconds": 20.0})]
    assert expected_seconds(run_of(tmp_path), finished) == 120.0
    assert expected_seconds(run_of(tmp_path, num_steps=20, num_generations=8), finished) == 420.0
    more = run_of(tmp_path)
    more.config["evaluation"]["num_samples"] = 64
    assert expected_seconds(more, finished) == 180.0
    assert expected_seconds(run_of(tmp_path, model="other"), finished) is None
    assert expected_seconds(run_of(tmp_path), []) is None


def test_runs_start_in_order_on_the_first_free_slot() -> None:
    assert in_order_seconds([20.0, 10.0, 10.0, 5.0], num_slots=2) == 25.0
    assert in_order_seconds([], num_slots=2) == 0.0
