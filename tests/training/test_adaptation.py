"""LoRA and gradient checkpointing in real runs."""

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab.models.load import NANO
from tests.training.test_runs_end_to_end import metrics, rollouts

LORA = ["model.lora={rank: 4, alpha: 8}", "train.learning_rate=3e-3"]

CONSTANT = ["advantage=a_grae", *LORA, "train.learning_rate_schedule=constant", "train.validate_every=2"]


@pytest.fixture(scope="module")
def base():
    return load_file(NANO / "model.safetensors")


def test_lora_saves_a_whole_model_that_differs_by_low_rank(small_run, base):
    pytest.importorskip("peft")
    run = small_run(*CONSTANT, "train.num_steps=2")
    assert run.status == "done"
    assert not list((run.path / "model").glob("adapter*"))
    trained = load_file(run.path / "model" / "model.safetensors")
    assert trained.keys() == base.keys()
    moved = {name for name in base if not torch.equal(trained[name], base[name])}
    assert moved == {name for name in base if name.endswith("proj.weight")}
    for name in moved:
        sizes = torch.linalg.svdvals(trained[name] - base[name])
        assert sizes[0] > 100 * sizes[4]


def test_lora_saves_what_it_has_trained(small_run):
    """The saved model decodes as the adapted one did: a constant rate makes 2 steps the first 2 of 3."""
    pytest.importorskip("peft")
    adapted = metrics(small_run(*CONSTANT, "train.num_steps=3"))["greedy_entropy"].dropna().iloc[-1]
    saved = small_run(*CONSTANT, "train.num_steps=2")
    greedy = pd.read_parquet(saved.samples_path("countdown_test")).query("sample == -1")
    entropy = (greedy["mean_entropy"] * greedy["n_tokens"]).sum() / greedy["n_tokens"].sum()
    assert entropy == pytest.approx(adapted, rel=1e-4)
    assert entropy != pytest.approx(metrics(saved)["greedy_entropy"].iloc[0], rel=1e-3)


def test_lora_needs_no_reference_model(small_run):
    pytest.importorskip("peft")
    rows = metrics(small_run(*LORA, "loss.kl_coefficient=0.1", "train.num_steps=2"))
    assert rows["kl"].iloc[0] < rows["kl"].iloc[1]


def test_gradient_checkpointing_changes_nothing(small_run, tmp_path):
    whole = small_run("advantage=a_grae", "train.num_steps=2")
    again = small_run("advantage=a_grae", "train.num_steps=2", "hardware.gradient_checkpointing=true", root=tmp_path)
    assert whole.key == again.key
    assert rollouts(whole)["completion"].tolist() == rollouts(again)["completion"].tolist()
    assert metrics(whole)["grad_norm"].tolist() == pytest.approx(metrics(again)["grad_norm"].tolist(), rel=1e-5)
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (whole, again)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6) for name in weights[0])
