"""Tests on a GPU, and a test that the check of a GPU runs."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from agrae_lab import runs
from agrae_lab.advantages import make, preset_names

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU on this machine")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("name", ["grpo", "a_grae", "hard_focused", "easy_focused", "positive_dominant", "rloo"])
def test_advantages_on_the_gpu_are_those_on_the_cpu(name):
    assert name in preset_names()
    rewards_PG = (torch.rand(64, 8, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    estimator = make(name)
    torch.testing.assert_close(estimator(rewards_PG.cuda()).cpu(), estimator(rewards_PG), rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_nano_run_trains_and_is_evaluated_on_the_gpu(tmp_path, dtype):
    overrides = ["hardware.device=cuda", f"model.dtype={dtype}", "train.num_steps=3", "evaluation.num_samples=8"]
    command = [sys.executable, "-m", "agrae_lab.train", *overrides, f"root={tmp_path}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout.splitlines()[-1])["run"])
    metrics = pd.read_parquet(path / "metrics.parquet")
    assert metrics["step"].tolist() == [1, 2, 3]
    assert metrics["grad_norm"].map(math.isfinite).all()
    assert runs.read_run(path).samples_path("countdown_test").is_file()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="the check itself runs here")
def test_the_gpu_check_in_small(tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.gpu_check", "size=tiny", f"out={out}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    assert 0.7 * 4 * 8 * 16 < figures["tokens_per_step"] <= 4 * 8 * 16  # a random model seldom ends a sequence
    assert figures["trained_tokens_per_second"] > 0
    assert figures["sampled_tokens_per_second"] > 0
    assert figures["step_ratio"] > 0
    assert figures["share_of_bf16_peak"] is None
    assert "no GPU" in done.stdout
