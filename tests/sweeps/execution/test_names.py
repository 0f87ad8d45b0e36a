"""Names of runs tell cells of one arm apart by what differs; the accuracy so far is the latest recorded."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from agrae_lab import runs
from sweeps.execution.correctness import Correctness
from sweeps.execution.names import RunNames


def run_of(root: Path, folder: str, seed: int = 0, **train: object) -> runs.Run:
    arm = folder.rpartition("-")[0]
    return runs.Run(root / folder / f"seed-{seed}", {"arm": arm, "seed": seed, "train": train})


def test_one_cell_of_an_arm_is_named_by_the_arm(tmp_path: Path) -> None:
    first, second = (run_of(tmp_path, "grpo-aaaaaaaa", seed, learning_rate=1e-4) for seed in (0, 1))
    names = RunNames([first, second])
    assert [names.run(first), names.run(second)] == ["grpo seed 0", "grpo seed 1"]


def test_cells_of_one_arm_are_told_apart_by_what_differs_with_the_hash_behind(tmp_path: Path) -> None:
    settings = {"num_steps": 10, "num_prompts": 8}
    slow = run_of(tmp_path, "grpo-aaaaaaaa", learning_rate=1e-4, **settings)
    fast = run_of(tmp_path, "grpo-bbbbbbbb", learning_rate=2e-4, **settings)
    other = run_of(tmp_path, "a_grae-cccccccc", learning_rate=2e-4, **settings)
    names = RunNames([slow, fast, other])
    assert names.run(slow) == "grpo learning_rate=0.0001 (aaaaaaaa) seed 0"
    assert names.run(fast) == "grpo learning_rate=0.0002 (bbbbbbbb) seed 0"
    assert names.run(other) == "a_grae seed 0"


def test_the_accuracy_so_far_is_the_last_validation_or_the_last_step(tmp_path: Path) -> None:
    run, correctness = run_of(tmp_path, "grpo-aaaaaaaa"), Correctness()
    assert correctness.latest(run) == ""
    run.path.mkdir(parents=True)
    frame = pd.DataFrame({"step": [1, 2], "omega": [0.25, 0.5]})
    frame.to_parquet(run.metrics_path)
    assert correctness.latest(run) == "50.0 % (training, step 2)"
    frame.assign(greedy_accuracy=[0.125, None]).to_parquet(run.metrics_path)
    assert correctness.latest(run) == "12.5 % (validation, step 1)"
    run.metrics_path.write_bytes(b"torn")
    assert correctness.latest(run) == "12.5 % (validation, step 1)"
