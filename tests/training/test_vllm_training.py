"""Training that samples with a colocated vLLM, for real, where it is installed. Each run pays vLLM's start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "evaluation" / "engines"))
from test_vllm_engine import tiny_model

from agrae_lab import runs

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
SETTINGS = (
    "engine=vllm", "train.num_steps=3", "train.num_prompts=8", "train.checkpoint_every=1", "train.validate_every=0",
    "evaluation.num_samples=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("vllm", reason="vLLM is not installed (extra: vllm)")
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def start(root, model, seed):
    command = [sys.executable, "-m", "agrae_lab.train", *SETTINGS, f"model.path={model}", f"seed={seed}"]
    return subprocess.Popen([*command, f"root={root}"], env=os.environ | ENVIRONMENT, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0
    return Path(json.loads(out.splitlines()[-1])["run"])


def rollouts(run):
    columns = ["step", "prompt_id", "completion", "advantage"]
    return pd.concat([pd.read_parquet(p, columns=columns) for p in sorted((run / "rollouts").glob("*"))])


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    return finish(start(tmp_path_factory.mktemp("whole"), model, 0))


def test_the_policy_that_samples_is_the_one_that_is_trained(whole):
    gaps = pd.read_parquet(whole / "metrics.parquet")["sampling_gap_max"]
    assert gaps.max() < 1e-4  # nats a token; bfloat16 would show some 1e-2
    assert runs.read_run(whole).samples_path("countdown_test").is_file()
    assert json.loads((whole / "meta.json").read_text())["base_eval"]


def test_another_seed_samples_something_else(whole, model, tmp_path):
    other = rollouts(finish(start(tmp_path, model, 1)))
    shared = set(other["completion"]) & set(rollouts(whole)["completion"])
    assert len(shared) < 0.2 * len(other)


def test_a_killed_run_ends_as_an_unbroken_one(whole, model, tmp_path):
    process = start(tmp_path, model, 0)
    while not list(tmp_path.glob("*/seed-0/rollouts/step-000003.parquet")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = finish(start(tmp_path, model, 0))
    pd.testing.assert_frame_equal(rollouts(again), rollouts(whole))
    samples = [pd.read_parquet(runs.read_run(run).samples_path("countdown_test")) for run in (again, whole)]
    pd.testing.assert_frame_equal(*samples)
