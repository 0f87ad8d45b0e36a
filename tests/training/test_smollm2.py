"""A real pretrained model, from its published weights to figures: SmolLM2-135M-Instruct on sums of two digits."""

import json
import random
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab import runs
from agrae_lab.lifecycle import execute
from agrae_lab.models.smollm2 import PACKAGE, gguf_file
from tests.training.conftest import compose_config
from tests.training.test_runs_end_to_end import metrics, rollouts

SMALL = [
    "train.num_steps=2",
    "train.num_prompts=4",
    "train.num_minibatches=1",
    "train.temperature=0.7",
    "train.learning_rate=1e-5",
    "train.max_completion_length=40",
    "train.validate_every=0",
    "evaluation.num_samples=4",
    "evaluation.max_new_tokens=40",
    "evaluation.batch_size=32",
]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """The model as a directory, made by the documented command."""
    try:
        gguf_file()
    except ValueError as missing:
        pytest.skip(str(missing))
    pytest.importorskip("gguf", reason=f"reading the file of {PACKAGE} needs the package gguf")
    path = tmp_path_factory.mktemp("smollm2") / "model"
    subprocess.run([sys.executable, "-m", "agrae_lab.models.smollm2", path], check=True)
    return path


@pytest.fixture(scope="module")
def sums(tmp_path_factory):
    path = tmp_path_factory.mktemp("sums") / "sums.jsonl"
    pairs = [(a, b) for a in range(2, 10) for b in range(2, 10)]
    random.Random(0).shuffle(pairs)
    rows = [{"problem": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_from_pretrained_weights_to_figures(smollm2, sums, tmp_path):
    world = ["world=smollm2_135m", f"model.path={smollm2}", f"task.train_file={sums}", f"root={tmp_path}", *SMALL]
    benchmark = ["~evaluation.benchmarks.gsm8k", f"+evaluation.benchmarks.sums={{task: gsm8k, file: {sums}, limit: 4}}"]
    config = compose_config(*world, *benchmark, "advantage=a_grae")
    assert execute(runs.create_run(config)) == "done"
    run = runs.list_runs(tmp_path)[0]

    frame = rollouts(run)
    assert len(frame) == 2 * 4 * 8
    assert frame["mean_entropy"].between(0.1, 6).all()
    assert frame["completion"].str.contains("[aeiou]{1,2}[a-z]").mean() > 0.9  # words, not noise
    assert metrics(run)["grad_norm"].gt(0).any() == (frame["advantage"] != 0).any()
    before, after = load_file(smollm2 / "model.safetensors"), load_file(run.path / "model" / "model.safetensors")
    moved = max((after[name].float() - before[name].float()).abs().max().item() for name in before)
    assert moved < 1e-3
    assert (moved > 0) == (frame["advantage"] != 0).any()
    assert all(torch.isfinite(weight).all() for weight in after.values())

    subprocess.run([sys.executable, "-m", "analysis", f"runs={tmp_path}"], check=True)
    table = pd.concat(pd.read_csv(path) for path in (tmp_path / "figures").rglob("table_main.csv"))
    assert set(table["arm"]) == {"base", "a_grae"}
    assert list((tmp_path / "figures").rglob("report.html"))
