"""A run under a shaped reward: what it records of p, ω and correct is accuracy's, what moves it is the full reward."""

import numpy as np
import pandas as pd
import pytest
import torch

from agrae_lab.advantages import Context, make
from tests.training.test_runs_end_to_end import metrics, rollouts


def steps_of(run):
    """Rewards, correct, advantages [8, 4] and the table of each step."""
    for path in run.rollout_paths():
        step = pd.read_parquet(path)
        columns = [step[c].to_numpy().astype(np.float32) for c in ("reward", "correct", "advantage")]
        yield [*(torch.tensor(c).view(8, 4) for c in columns), step]


@pytest.fixture(scope="module")
def shaped_run(small_run):
    return small_run("advantage=a_grae", "task.reward=paper")


def test_the_reward_is_the_mixture_and_the_advantage_is_the_rewards(shaped_run):
    learnt_form = 0
    for rewards, correct, advantages, step in steps_of(shaped_run):
        np.testing.assert_allclose(step["reward"], 0.1 * step["reward_accuracy"] + 0.9 * step["reward_format"])
        assert (step["correct"] == (step["reward_accuracy"] == 1)).all()
        torch.testing.assert_close(advantages, make("a_grae")(rewards, Context(correct_PG=correct)))
        grpo = torch.tensor(step["advantage_grpo"].to_numpy(), dtype=torch.float32).view(8, 4)
        torch.testing.assert_close(grpo, make("grpo")(rewards))
        unsolved = correct.sum(dim=1) == 0
        learnt_form += int((advantages[unsolved] != 0).any(dim=1).sum())
    assert learnt_form > 0


def test_omega_is_accuracy_and_the_mean_reward_stands_beside_it(shaped_run, small_run):
    frame, steps = metrics(shaped_run), rollouts(shaped_run).groupby("step")
    np.testing.assert_allclose(frame["omega"], steps["correct"].mean(), rtol=1e-6)
    np.testing.assert_allclose(frame["mean_reward"], steps["reward"].mean(), rtol=1e-6)
    assert (frame["mean_reward"] > frame["omega"]).all()
    assert (frame["correct_count"] == steps["correct"].sum().to_numpy()).all()
    plain = metrics(small_run("advantage=a_grae"))
    assert "mean_reward" not in plain
    assert plain["omega"].tolist() == [
        float(torch.tensor(rewards.to_numpy(), dtype=torch.float32).mean())
        for _, rewards in rollouts(small_run("advantage=a_grae")).groupby("step")["reward"]
    ]


def test_runs_under_other_rewards_share_the_base_evaluation(shaped_run, small_run):
    plain = small_run("advantage=a_grae")
    assert shaped_run.path != plain.path
    assert shaped_run.meta["base_eval"] == plain.meta["base_eval"]
