"""Estimators that need more than rewards, in real runs; and in TRL's own trainer, without the rest of the lab."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from agrae_lab import runs
from agrae_lab.advantages import Context, make
from agrae_lab.advantages.adapters.trl import STATE_FILE, with_advantage
from agrae_lab.models.load import load_model
from tests.training.conftest import SMALL, compose_config
from tests.training.test_interruptions import EXECUTE, start, wait_for
from tests.training.test_runs_end_to_end import TIMES, metrics, rollouts

FEW = "train.num_steps=3"


def recorded(run):
    """Rewards, advantages, lengths [8, 4] of each step."""
    for path in run.rollout_paths():
        step = pd.read_parquet(path)
        columns = ("reward", "advantage", "n_tokens", "reward_accuracy", "reward_format")
        yield [torch.tensor(step[c].to_numpy(), dtype=torch.float32).view(8, 4) for c in columns]


@pytest.mark.parametrize("advantage", ["opo", "reinforce_pp_baseline"])
def test_lengths(small_run, advantage):
    for rewards, advantages, lengths, *_ in recorded(small_run(f"advantage={advantage}", FEW)):
        torch.testing.assert_close(advantages, make(advantage)(rewards, Context(lengths_PG=lengths)))


def test_parts_of_the_reward(small_run):
    for rewards, advantages, _, accuracy, form in recorded(small_run("advantage=gdpo", FEW)):
        assert (accuracy == rewards).all()
        assert (form >= accuracy).all()
        context = Context(parts={"accuracy": accuracy, "format": form})
        torch.testing.assert_close(advantages, make("gdpo")(rewards, context))


@pytest.mark.parametrize("advantage", ["curve_rl", "ha_dw"])
def test_history(small_run, advantage):
    state: dict = {}
    for rewards, advantages, *_ in recorded(small_run(f"advantage={advantage}", FEW)):
        expected, state = make(advantage).step(rewards, state=state)
        torch.testing.assert_close(advantages, expected)
    assert state


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_history_it_had(small_run, tmp_path):
    unbroken = small_run("advantage=curve_rl")
    run_dir = runs.create_run(compose_config(f"root={tmp_path}", *SMALL, "advantage=curve_rl"))
    process = start(run_dir)
    wait_for(run_dir / "rollouts" / "step-000004.parquet", process)
    process.kill()
    process.wait()
    (checkpoint,) = (run_dir / "checkpoints").glob("checkpoint-*/.complete")
    assert json.loads((checkpoint.parent / STATE_FILE).read_text())
    assert start(run_dir).wait(timeout=120) == 0
    resumed = runs.read_run(run_dir)
    pd.testing.assert_frame_equal(rollouts(resumed), rollouts(unbroken))
    pd.testing.assert_frame_equal(metrics(resumed).drop(columns=TIMES), metrics(unbroken).drop(columns=TIMES))


def test_token_advantages_are_recorded_as_means(small_run):
    """Entropy adds to what GRPO gives, never more than half of it, and nothing where that is 0."""
    run = small_run("advantage=entropy_advantage", FEW)
    frame = rollouts(run)
    added = (frame["advantage"] - frame["advantage_grpo"]).to_numpy()
    limit = frame["advantage_grpo"].abs().to_numpy() / 2
    assert (added >= -1e-6).all()
    assert (added <= limit + 1e-6).all()
    assert added.max() > 0.01
    assert (added[limit == 0] == 0).all()
    # where the limit does not bite, the mean over tokens is 0.4 times the mean entropy
    free = frame["mean_entropy"].to_numpy() * 0.4
    assert (added <= free + 1e-5).all()


@pytest.mark.slow
def test_two_processes_with_entropies_and_history(tmp_path):
    config = compose_config(
        f"root={tmp_path}", *SMALL, "advantage=curve_rl", "advantage/token=entropy", "train.num_minibatches=1"
    )
    run_dir = runs.create_run(config)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29578"]
    script = tmp_path / "execute.py"
    script.write_text(EXECUTE)
    subprocess.run(
        [*launch, str(script), str(run_dir)], check=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    run = runs.read_run(run_dir)
    assert run.status == "done"
    state: dict = {}
    for rewards, advantages, *_ in recorded(run):
        plain, state = make("curve_rl").step(rewards, state=state)
        assert ((advantages - plain).abs() <= plain.abs() / 2 + 1e-6).all()
        assert (advantages - plain >= -1e-6).all()


def short_and_long(completions, **unused):
    """Two rewards, decided by length alone; the second cannot judge empty text."""
    return [float(len(text) > 6) for text in completions]


def even(completions, **unused):
    return [float(len(text) % 2 == 0) if text else None for text in completions]


def stock_trainer(advantage, folder, correct=None, **arguments):
    model, tokenizer = load_model("nano", dtype="float32")
    settings = {
        "max_steps": 2,
        "per_device_train_batch_size": 16,
        "num_generations": 4,
        "max_completion_length": 10,
        "save_steps": 1,
        "reward_weights": [0.75, 0.25],
    }

    class Keeping(with_advantage(GRPOTrainer, advantage, correct=correct)):
        """Keeps the last batch that it trained on."""

        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            self.kept = {**output, "rewards": self._logs["rewards"]}
            return output

    return Keeping(
        model=model,
        processing_class=tokenizer,
        reward_funcs=[short_and_long, even],
        train_dataset=Dataset.from_list([{"prompt": f"12{d}=1{d}:"} for d in range(1, 9)]),
        args=GRPOConfig(
            str(folder), **(settings | arguments), use_cpu=True, seed=0, report_to="none", disable_tqdm=True
        ),
    )


@pytest.mark.parametrize("advantage", ["a_grae", "entropy_advantage", "opo"])
def test_one_line_in_a_stock_script(tmp_path, advantage):
    trainer = stock_trainer(advantage, tmp_path, correct="short_and_long")
    trainer.train()
    kept, rewards = trainer.kept, trainer.kept["rewards"]
    first, second = (torch.tensor(list(rewards[name])[-16:]) for name in ("short_and_long", "even"))
    total = torch.stack([0.75 * first, 0.25 * second]).nansum(dim=0).view(4, 4)
    mask = kept["completion_mask"]
    context = Context(lengths_PG=mask.sum(dim=1).view(4, 4), correct_PG=first.view(4, 4))
    if advantage == "entropy_advantage":
        assert kept["advantages"].shape == mask.shape
        plain = make("grpo")(total).view(16, 1)
        added = kept["advantages"] - plain
        assert ((added >= 0) & (added <= plain.abs() / 2 + 1e-6))[mask.bool()].all()
    else:
        torch.testing.assert_close(kept["advantages"].view(4, 4), make(advantage)(total, context))
        logged = torch.tensor(list(trainer._logs["advantages"])[-16:])
        torch.testing.assert_close(logged, kept["advantages"])


def test_history_in_a_stock_script_survives_a_resume(tmp_path):
    whole = stock_trainer("ha_dw", tmp_path / "whole", "short_and_long", max_steps=4)
    whole.train()
    resumed = stock_trainer("ha_dw", tmp_path / "resumed", "short_and_long", max_steps=4)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    # the record of the first two steps comes from the checkpoint; stock TRL samples other completions after it
    assert len(resumed.advantage_state["ha_dw"]) == len(whole.advantage_state["ha_dw"]) == 4
    assert resumed.advantage_state["ha_dw"][:2] == whole.advantage_state["ha_dw"][:2]


def test_a_checkpoint_without_history_is_refused(tmp_path):
    stock_trainer("grpo", tmp_path, max_steps=1).train()
    with pytest.raises(ValueError, match=f"checkpoint-1 has no {STATE_FILE}"):
        stock_trainer("ha_dw", tmp_path).train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
