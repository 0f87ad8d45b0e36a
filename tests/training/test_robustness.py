"""Runs with invalid completions, another model, and test problems that are trained on."""

import logging

import pandas as pd
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from agrae_lab import runs
from agrae_lab.advantages import make
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import load_model
from agrae_lab.tasks import Verdict
from agrae_lab.tasks.problems import shipped_file
from agrae_lab.tasks.text.countdown import Countdown
from tests.training.conftest import SMALL, compose_config
from tests.training.test_runs_end_to_end import metrics, rollouts


def test_invalid_completions_are_left_out_and_counted(small_run, tmp_path, monkeypatch):
    judge = Countdown.verify

    def verify(self, completion, problem):
        return Verdict.invalid() if completion.endswith("2") else judge(self, completion, problem)

    monkeypatch.setattr(Countdown, "verify", verify)
    run = small_run("advantage=a_grae", "train.num_steps=2", root=tmp_path)
    frame, rows = rollouts(run), metrics(run)
    undecided = ~frame["valid"]
    assert undecided.any()
    assert frame.loc[undecided, "reward"].isna().all()
    assert (frame.loc[undecided, "advantage"] == 0).all()
    assert rows["undecided_count"].tolist() == frame.groupby("step")["valid"].apply(lambda v: (~v).sum()).tolist()
    assert (rows["correct_count"] + rows["incorrect_count"] + rows["undecided_count"] == 32).all()
    for _, step in frame.groupby("step"):
        rewards = torch.tensor(step["reward"].to_numpy(), dtype=torch.float32).view(8, 4)
        recorded = torch.tensor(step["advantage"].to_numpy(), dtype=torch.float32).view(8, 4)
        torch.testing.assert_close(recorded, make("a_grae")(rewards))


def test_any_causal_model_by_path(small_run, tmp_path):
    _, tokenizer = load_model("nano", dtype="float32")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64, pad_token_id=0, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    tokenizer.save_pretrained(tmp_path / "llama")
    run = small_run(f"model.path={tmp_path}/llama", "train.num_steps=1", root=tmp_path)
    assert run.status == "done"
    assert len(pd.read_parquet(run.base_samples_path("countdown_test"))) == 16 * 9


def test_test_problems_that_are_trained_on_are_counted_before_training(tmp_path, caplog):
    train = shipped_file("countdown", "train").read_text().splitlines(keepends=True)
    test = tmp_path / "test.jsonl"
    test.write_text(
        "".join(line.replace("train-", "other-") for line in train[:3]) + '{"id": "a", "digits": "1", "target": 1}\n'
    )
    config = compose_config(
        f"root={tmp_path / 'runs'}",
        *SMALL,
        "train.num_steps=1",
        f"+evaluation.benchmarks.seen={{task: countdown, file: {test}}}",
    )
    run_dir = runs.create_run(config)
    with caplog.at_level(logging.WARNING):
        execute(run_dir)
    assert runs.read_run(run_dir).meta["train_test_overlap"] == {"seen": 3}
    (said,) = [r.getMessage() for r in caplog.records if "training problems too" in r.getMessage()]
    assert said.startswith("evaluation.benchmarks.seen: 3 of its 4 problems are training problems too")
