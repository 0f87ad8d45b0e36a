"""GRPO visibly learns in the nano world. Takes minutes, so it runs under `make test-slow`."""

import random
import subprocess

import numpy as np
import pandas as pd
import pytest

from agrae_lab import runs
from agrae_lab.lifecycle import execute
from tests.training.conftest import SMALL, compose_config
from tests.training.test_interruptions import start
from tests.training.test_runs_end_to_end import TIMES, metrics, rollouts


@pytest.mark.slow
def test_grpo_raises_pass_at_1_by_two_points(tmp_path):
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", "hardware.device=cpu"))
    execute(run_dir)
    run = runs.read_run(run_dir)
    paths = run.samples_path("countdown_test"), run.base_samples_path("countdown_test")
    after, before = (
        frame[frame["decoding"] == "sample"].groupby("problem_id")["correct"].mean()
        for frame in (pd.read_parquet(path) for path in paths)
    )
    gain = (after - before).to_numpy()
    draws = np.random.default_rng(0).integers(len(gain), size=(2000, len(gain)))
    assert gain.mean() >= 0.02
    assert np.quantile(gain[draws].mean(axis=1), 0.025) > 0


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_as_an_unbroken_one(small_run, tmp_path):
    unbroken = small_run("advantage=a_grae")
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "advantage=a_grae"))
    chance = random.Random(0)
    for _ in range(8):
        process = start(run_dir)
        try:
            process.wait(timeout=chance.uniform(4, 14))  # loading takes about 7 s, the rest about 5
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if runs.read_run(run_dir).status == "done":
            break
    execute(run_dir)
    resumed = runs.read_run(run_dir)
    pd.testing.assert_frame_equal(rollouts(resumed), rollouts(unbroken))
    pd.testing.assert_frame_equal(metrics(resumed).drop(columns=TIMES), metrics(unbroken).drop(columns=TIMES))
