"""Estimates of the remaining time, from durations that can be added up by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from agrae_lab import runs
from sweeps.execution.eta import (
    expected_seconds,
    in_order_seconds,
    recorded_seconds,
    run_remaining,
    sweep_remaining,
    typical_seconds,
)
from sweeps.execution.time_left import TimeLeft


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
        ({"done": 10, "total": 40, "pace": 2}, 20, None, 60),  # 2 s a step, 30 steps left
        ({"done": 10, "total": 40, "pace": 2}, 20, 200, 180),  # an evaluation will follow
        ({"done": 51, "total": 100, "pace": None}, 20, None, None),  # the first step of an attempt
        ({"done": 52, "total": 100, "pace": 10}, 20, None, 480),
        ({"phase": "evaluate base", "done": 2, "total": 2, "pace": 4}, 20, None, None),  # training will follow
        ({"phase": "load", "done": 1, "total": 1, "pace": 9}, 20, 200, 180),
        ({}, 250, 200, 0),  # longer than typical: no negative time
    ],
)
def test_the_rest_of_a_run_follows_its_pace_and_the_typical_run(progress, elapsed, typical, left) -> None:
    assert run_remaining(progress, elapsed=elapsed, typical=typical) == left


def test_waiting_runs_start_on_the_slot_that_is_free_first() -> None:
    # slots free after 10 and 40 s; runs of 25 s end at 35, 60, 65 s
    assert sweep_remaining([10, 40], waiting=[25] * 3, num_slots=2) == 65
    assert sweep_remaining([10], waiting=[25], num_slots=2) == 25  # the second slot is idle
    assert sweep_remaining([10, None], waiting=[], num_slots=2) is None
    assert sweep_remaining([10], waiting=[None], num_slots=1) is None


def run_of(path: Path, *, timings: dict[str, float] | None = None, model: str = "nano", **train: int) -> runs.Run:
    """Return a finished run with timings, or one that is still to run; its folder is named after its sizes."""
    config = {"model": {"path": model}, "train": {"num_steps": 10, "num_prompts": 8, "num_generations": 4, **train}}
    config["evaluation"] = {"num_samples": 16, "benchmarks": {"b": {}}}
    config |= {"arm": "grpo", "seed": 0, "root": str(path)}
    meta = {"status": "done", "timings": timings} if timings else {"status": "pending"}
    name = "-".join([model, *map(str, train.values())])
    return runs.Run(path / f"{name}-12345678" / "seed-0", config, meta)


def test_estimates_scale_with_steps_completions_and_samples(tmp_path: Path) -> None:
    finished = [run_of(tmp_path, timings={"train_seconds": 100.0, "evaluate_seconds": 20.0})]
    assert expected_seconds(run_of(tmp_path), finished, trained=False) == 120.0
    assert expected_seconds(run_of(tmp_path, num_steps=20, num_generations=8), finished, trained=False) == 420.0
    more = run_of(tmp_path)
    more.config["evaluation"]["num_samples"] = 64
    assert expected_seconds(more, finished, trained=False) == 180.0
    assert expected_seconds(run_of(tmp_path, model="other"), finished, trained=False) is None
    assert expected_seconds(run_of(tmp_path), [], trained=False) is None
    assert expected_seconds(more, finished, trained=True) == 80.0


def test_runs_start_in_order_on_the_first_free_slot() -> None:
    assert in_order_seconds([20.0, 10.0, 10.0, 5.0], num_slots=2) == 25.0
    assert in_order_seconds([], num_slots=2) == 0.0


@pytest.mark.parametrize(
    ("at_steps", "times"), [(None, 1), (["last"], 1), ([0, 5, "last"], 2), ([0], 1), ([5, 10], 2), (4, 3)]
)
def test_estimates_scale_with_the_policies_that_are_evaluated(tmp_path: Path, at_steps: object, times: int) -> None:
    finished = [run_of(tmp_path, timings={"train_seconds": 100.0, "evaluate_seconds": 20.0})]
    other = run_of(tmp_path)
    other.config["evaluation"]["at_steps"] = at_steps
    assert expected_seconds(other, finished, trained=False) == 100.0 + 20.0 * times


def test_each_waiting_run_has_its_own_expected_duration(tmp_path: Path) -> None:
    finished = run_of(tmp_path, timings={"train_seconds": 100.0})
    twice, thrice = run_of(tmp_path, num_steps=20), run_of(tmp_path, num_generations=12)
    time_left = TimeLeft(1, [finished], [finished, twice, thrice])
    assert time_left.estimate([], [], [], num_waiting=2) == ([], 500.0)
    time_left.take(twice)  # a third of it is done, at the expected speed
    half_done = {"phase": "train", "done": 7, "total": 20, "pace": 10.0}
    assert time_left.estimate([twice], [half_done], [70.0], num_waiting=1) == ([130.0], 430.0)
    time_left.take(twice, has_finished=True)
    assert time_left.estimate([], [], [], num_waiting=1)[1] == 300.0


def test_a_run_that_is_trained_by_now_was_not_so_when_it_started(tmp_path: Path) -> None:
    timings = {"train_seconds": 100.0, "evaluate_seconds": 50.0}
    finished, active, done = (run_of(tmp_path / name, timings=timings) for name in ("a", "b", "c"))
    active = runs.Run(active.path, active.config, {"status": "running"})
    time_left = TimeLeft(2, [finished], [finished, active])
    assert time_left.estimate([active], [{}], [0.0], num_waiting=0)[0] == [150.0]
    (active.path / "model").mkdir(parents=True)
    time_left.take(done, has_finished=True)
    assert time_left.estimate([active], [{}], [120.0], num_waiting=0)[0] == [30.0]
    time_left.put_back(active)  # its next attempt has the evaluation alone to do
    assert time_left.estimate([active], [{}], [0.0], num_waiting=0)[0] == [50.0]


def test_before_any_run_has_finished_the_active_ones_are_scaled(tmp_path: Path) -> None:
    short, long = run_of(tmp_path, num_steps=10), run_of(tmp_path, num_steps=40)
    time_left = TimeLeft(1, [], [short, long])
    time_left.take(short)
    progress = {"phase": "train", "done": 5, "total": 10, "pace": 10.0}
    assert time_left.estimate([short], [progress], [50.0], num_waiting=1) == ([50.0], 450.0)
    assert time_left.estimate([short], [{}], [50.0], num_waiting=1) == ([None], None)


def test_nothing_is_known_of_another_model(tmp_path: Path) -> None:
    finished = run_of(tmp_path, timings={"train_seconds": 100.0})
    time_left = TimeLeft(2, [finished], [finished, run_of(tmp_path, model="other")])
    assert time_left.estimate([], [], [], num_waiting=1) == ([], None)


def test_the_trials_of_a_search_last_as_long_as_the_typical_one(tmp_path: Path) -> None:
    finished = [run_of(tmp_path, timings={"train_seconds": float(s)}, seed=s) for s in (10, 20, 90)]
    assert TimeLeft(2, finished, []).estimate([], [], [], num_waiting=3)[1] == 40.0
