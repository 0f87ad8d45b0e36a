"""DAPO's soft overlong penalty: its values, a real run under it, what it leaves alone, and what is refused."""

import numpy as np
import pytest
import torch

from agrae_lab.advantages import Context, make
from agrae_lab.config import ConfigError
from agrae_lab.runs import training_hash
from agrae_lab.training.overlong import OverlongPenalty
from tests.training.conftest import SMALL, compose_config
from tests.training.test_dynamic_sampling import dropped
from tests.training.test_runs_end_to_end import metrics, rollouts

SHORT = ["train.num_steps=2", "train.validate_every=0", "train.max_completion_length=10"]
PENALISED = ["train.overlong_share=0.3", "train.overlong_weight=0.5", *SHORT]
WEIGHT, CACHE, LONGEST = 0.5, 3, 10


def equation_13(length, longest, cache):
    """DAPO's equation 13 once more."""
    if length <= longest - cache:
        return 0.0
    return (longest - cache - length) / cache if length <= longest else -1.0


@pytest.mark.parametrize(
    ("length", "value"), [(1, 0.0), (16384, 0.0), (16385, -1 / 4096), (18432, -0.5), (20480, -1.0), (20481, -1.0)]
)
def test_values_of_the_paper(length, value):
    """L_max = 20480 and L_cache = 4096 are DAPO's."""
    assert OverlongPenalty.from_share(0.2, longest=20480).cache == 4096
    assert OverlongPenalty(longest=20480, cache=4096)(length) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("share", "longest", "cache"), [(0.2, 14, 3), (0.01, 14, 1), (1.0, 14, 14), (0.5, 9, 4)])
def test_the_cache_is_a_share_in_whole_tokens(share, longest, cache):
    assert OverlongPenalty.from_share(share, longest=longest).cache == cache


def groups(frame, column):
    return torch.tensor(frame[column].to_numpy().astype(np.float32)).view(-1, 4)


def test_the_penalty_is_a_component_of_its_own(small_run):
    run = small_run("advantage=a_grae", *PENALISED)
    frame, rows = rollouts(run), metrics(run)
    expected = [equation_13(n, LONGEST, CACHE) for n in frame["n_tokens"]]
    np.testing.assert_allclose(frame["reward_overlong"], expected, rtol=1e-6)
    assert set(np.unique(np.round(expected, 6))) >= {-1.0, 0.0}  # some are cut off, some are short
    np.testing.assert_allclose(frame["reward"], frame["correct"] + WEIGHT * frame["reward_overlong"], rtol=1e-6)
    assert (frame["reward_accuracy"] == frame["correct"]).all()  # the verifier's
    steps = frame.groupby("step")
    np.testing.assert_allclose(rows["omega"], steps["correct"].mean(), rtol=1e-6)
    np.testing.assert_allclose(rows["mean_reward"], steps["reward"].mean(), rtol=1e-5)
    np.testing.assert_allclose(rows["mean_overlong"], steps["reward_overlong"].mean(), rtol=1e-5)
    for _, step in steps:
        rewards, correct, advantages = (groups(step, name) for name in ("reward", "correct", "advantage"))
        torch.testing.assert_close(advantages, make("a_grae")(rewards, Context(correct_PG=correct)))
    assert run.arm == "a_grae+overlong"
    plain = small_run(*SHORT)
    assert not any("overlong" in column for column in [*rollouts(plain), *metrics(plain)])


def test_half_of_the_penalty_gives_the_advantages_of_the_papers_rewards(small_run):
    """DAPO's rewards are 1 and −1: with half of the penalty, ours are the same up to shift and scale."""
    frame = rollouts(small_run("advantage=a_grae", *PENALISED))
    papers = 2.0 * groups(frame, "correct") - 1.0 + groups(frame, "reward_overlong")
    torch.testing.assert_close(make("grpo")(papers), groups(frame, "advantage_grpo"), atol=1e-5, rtol=1e-4)


def test_dropped_completions_have_their_penalty_too(small_run):
    run = small_run("train.sampling_rounds=3", *PENALISED)
    frame, out, rows = rollouts(run), dropped(run), metrics(run)
    for table in (frame, out):
        penalties = [equation_13(n, LONGEST, CACHE) for n in table["n_tokens"]]
        np.testing.assert_allclose(table["reward_overlong"], penalties, rtol=1e-6)
        np.testing.assert_allclose(table["reward"], table["correct"] + WEIGHT * np.array(penalties), rtol=1e-6)
    solved = out.groupby(["step", "group"])["correct"].mean()  # groups are chosen by the verdicts alone
    assert set(solved[out.groupby(["step", "group"])["reason"].first() == "unsolved"]) == {0.0}
    for step, row in rows.set_index("step").iterrows():
        sampled = [table.loc[table["step"] == step, "reward"] for table in (frame, out)]
        assert row["mean_reward"] == pytest.approx(np.concatenate(sampled).mean(), rel=1e-5)


def test_a_control_says_what_the_penalty_alone_brings(small_run):
    run = small_run("task.reward=constant", *PENALISED)
    frame = rollouts(run)
    np.testing.assert_allclose(frame["reward"], 1.0 + WEIGHT * frame["reward_overlong"], rtol=1e-6)
    assert run.arm == "grpo+reward=constant+overlong"


def test_reward_components_name_the_penalty(small_run):
    run = small_run("advantage=gdpo", "advantage.base.weights={accuracy: 1, format: 0.1, overlong: 0.5}", *PENALISED)
    assert (rollouts(run)["advantage"] != 0).any()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train.overlong_share=0"], r"train\.overlong_share must be a number above 0 and at most 1, or null, got 0"),
        (["train.overlong_share=1.5"], r"train\.overlong_share must be .* at most 1, or null, got 1\.5"),
        (
            ["train.overlong_weight=0.5"],
            r"train\.overlong_weight = 0\.5 would have no effect without train\.overlong_s",
        ),
    ],
)
def test_a_penalty_that_cannot_be_is_refused(words, sentence):
    with pytest.raises(ConfigError, match=sentence):
        compose_config(*SMALL, *words)


def test_a_weight_of_one_has_one_spelling():
    one, other = (compose_config("train.overlong_share=0.2", f"train.overlong_weight={w}") for w in ("null", "1"))
    assert training_hash(one) == training_hash(other)
    assert training_hash(one) != training_hash(compose_config())


def test_the_method_of_dapo_with_its_sampling_and_its_penalty():
    config = compose_config("method=dapo_resampled_overlong")
    assert config["arm"] == "grpo+dapo+resampled+overlong"
    assert {k: config["train"][k] for k in ("sampling_rounds", "overlong_share", "overlong_weight")} == {
        **{"sampling_rounds": 10, "overlong_share": 0.2, "overlong_weight": 0.5}
    }
    assert "overlong_share" not in compose_config("method=dapo_resampled")["train"]
