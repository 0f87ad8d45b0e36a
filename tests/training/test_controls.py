"""Controls: training sees the control reward alone, records and evaluation keep the verifier's verdicts."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from agrae_lab.advantages import Context, make
from agrae_lab.models.load import NANO
from agrae_lab.tasks import load_task
from tests.training.test_runs_end_to_end import metrics, rollouts

SHORT = ["train.num_steps=2", "train.validate_every=0"]
ARM = ["advantage=a_grae", "seed=3"]


def coin(row, seed):
    """The definition once more: the lowest bit of a hash of seed, step, prompt and completion index."""
    index = row["group"] * 4 + row["sample"]
    return hashlib.sha256(f"{seed}/{row['step']}/{row['prompt_id']}/{index}".encode()).digest()[0] % 2


REWARDS = {
    "random": lambda frame: frame.apply(coin, axis=1, seed=3),
    "constant": lambda frame: 1.0 + 0 * frame["n_tokens"],
    "format": lambda frame: frame["reward_format"],
    "inverted": lambda frame: 1.0 - frame["correct"],
}


IN_SHORT = {"random", "inverted"}  # the formulas of all four: tests/tasks/test_rewards.py


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in IN_SHORT else pytest.mark.slow) for name in REWARDS]
)
def test_training_sees_the_control_alone(small_run, name):
    run = small_run(*ARM, f"task.reward={name}", *SHORT)
    frame = rollouts(run)
    np.testing.assert_allclose(frame["reward"], REWARDS[name](frame).astype(float))
    task = load_task("countdown")
    problems = {str(p["id"]): p for p in task_problems(run)}
    verdicts = [task.verify(text, problems[i]) for text, i in zip(frame["completion"], frame["prompt_id"], strict=True)]
    assert frame["correct"].tolist() == [verdict.correct for verdict in verdicts]  # the verifier's, as ω and p are
    np.testing.assert_allclose(metrics(run)["omega"], frame.groupby("step")["correct"].mean(), rtol=1e-6)
    for _, step in frame.groupby("step"):
        rewards, advantages = (
            torch.tensor(step[c].to_numpy(), dtype=torch.float32).view(8, 4) for c in ("reward", "advantage")
        )
        # p and ω of A-GRAE are the reward's: under the verdicts' the truth would leak into training
        torch.testing.assert_close(advantages, make("a_grae")(rewards, Context(correct_PG=rewards)))
    assert run.arm == f"a_grae+reward={name}"


def task_problems(run):
    from agrae_lab.config import problem_sets

    return problem_sets(run.config)["train"]


def test_coins_are_fair_and_depend_on_seed_step_prompt_and_completion(small_run):
    words = ["advantage=a_grae", "task.reward=random", *SHORT]
    frames = {seed: rollouts(small_run(f"seed={seed}", *words)) for seed in (3, 4)}
    together = pd.concat(frames.values())
    assert 0.3 < together["reward"].mean() < 0.7  # 128 coins
    assert set(together["reward"]) == {0.0, 1.0}
    by_step = [step["reward"].tolist() for _, step in together.groupby("step")]
    assert by_step[0] != by_step[1]


def test_the_evaluation_is_the_verifiers(small_run):
    control, plain = small_run(*ARM, "task.reward=inverted", *SHORT), small_run("advantage=zero", "seed=3", *SHORT)
    assert control.meta["base_eval"] == plain.meta["base_eval"]
    assert control.path != plain.path


def test_zero_leaves_the_weights_alone(small_run):
    run = small_run("advantage=zero", "seed=3", *SHORT)
    before, after = load_file(NANO / "model.safetensors"), load_file(run.path / "model" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in after)
    assert (metrics(run)["grad_norm"] == 0).all()
    assert (rollouts(run)["advantage"] == 0).all()
    assert rollouts(run)["advantage_grpo"].abs().max() > 0
