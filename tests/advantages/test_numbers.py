"""Numbers of every kind: half-precision rewards are computed with in float32, settings are made what a field says."""

import pytest
import torch

from agrae_lab.advantages import Context, diagnose, make, preset_names, theory
from agrae_lab.advantages.adapters.verl import advantage_function
from agrae_lab.advantages.match.l1 import L1
from agrae_lab.advantages.match.l2 import L2
from agrae_lab.advantages.statistics import centred, group_mean, mean_over_tokens, std_of, success_rate

HALVES = [torch.bfloat16, torch.float16]
G = 1024


def nearly_solved():
    """Two groups: 1023 of 1024 correct, which bfloat16 takes for all, and 300."""
    rewards = torch.ones(2, G)
    rewards[0, -1] = 0
    rewards[1, 300:] = 0
    return rewards


def context_of(rewards, dtype):
    tokens = torch.arange(3) + 1.0
    entropies = (0.01 * (1 + torch.arange(G) % 7)[None, :, None] * tokens).expand(2, G, 3)
    # what bfloat16 can hold, so that both dtypes are given the same numbers
    entropies = entropies.to(torch.bfloat16).to(dtype)
    return Context(
        lengths_PG=torch.full((2, G), 3),
        parts={"accuracy": rewards.to(dtype), "format": torch.ones_like(rewards).to(dtype)},
        entropies_PGT=entropies,
        logprobs_PGT=-entropies,
        mask_PGT=torch.ones(2, G, 3),
        prompts=["nearly solved", "nearly unsolved"],
    )


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", preset_names())
def test_half_precision_rewards_get_the_advantages_of_float32(name, dtype):
    rewards = nearly_solved()
    estimator = make(name)
    wide = estimator(rewards, context_of(rewards, torch.float32))
    context = context_of(rewards, torch.float32 if dtype == torch.float16 else dtype)
    half = estimator(rewards.to(dtype), context)
    assert half.dtype == torch.float32
    assert torch.equal(half, wide)


@pytest.mark.parametrize("match", ["l1", "l2"])
def test_matching_half_precision_rewards(match):
    rewards = nearly_solved()
    estimator = make("a_grae", match=match)
    assert torch.equal(estimator(rewards.bfloat16()), estimator(rewards))
    link = {"l1": L1(), "l2": L2()}[match]  # by itself too
    plain = make("grpo")(rewards)
    torch.testing.assert_close(link(plain * 3, rewards.bfloat16(), Context()), plain)


def test_statistics_and_diagnostics_of_half_precision():
    rewards = nearly_solved()
    narrow = rewards.bfloat16()
    for function in (group_mean, centred, success_rate):
        assert torch.equal(function(narrow), function(rewards))
    assert torch.equal(std_of(narrow, torch.tensor(G), ddof=0), std_of(rewards, torch.tensor(G), ddof=0))
    many = torch.full((1, 1, 4096), 0.125).bfloat16()
    assert mean_over_tokens(many, torch.ones(1, 1, 4096)).item() == 0.125
    ones = torch.ones(2, G).bfloat16()
    assert diagnose(ones, ones).adv_abs_sum == 2 * G


@pytest.mark.parametrize(
    "closed_form",
    [
        theory.positive_advantage,
        theory.negative_advantage,
        lambda p: theory.abs_sum_grpo(p, num_generations=8),
        lambda p: theory.sum_scaled_positive(p, num_generations=8, beta=10),
        lambda p: theory.abs_sum_scaled_positive(p, num_generations=8, beta=10),
        lambda p: theory.abs_sum_hard_focused(p, num_generations=8),
        lambda p: theory.abs_sum_easy_focused(p, num_generations=8),
        lambda p: theory.abs_sum_dynamic(p, num_generations=8, omega=0.3),
        lambda p: theory.expected_weight(p, positive_K=torch.arange(9.0), negative_K=-torch.arange(9.0)),
        lambda p: theory.unsampled_logit_update(p, advantage_sum=torch.tensor(3.0).to(p)),
        lambda p: theory.logit_updates(p[:, None], torch.zeros(2, 3).long(), torch.ones(2, 3).to(p)),
        lambda p: theory.expected_logit_updates(
            p[:, None], torch.ones(2, 1), positive_K=torch.arange(9.0), negative_K=-torch.arange(9.0)
        ),
    ],
)
def test_theory_in_half_precision(closed_form):
    p = torch.tensor([1 / 256, 255 / 256])  # 1 − p has 1 bit of bfloat16's 8 left
    torch.testing.assert_close(closed_form(p.bfloat16()), closed_form(p.bfloat16().float()), rtol=0, atol=0)


def test_half_precision_rewards_in_verl():
    tokens = torch.full((8, 600), 1 / 512)  # a sum that bfloat16 loses: 600/512
    tokens[4:] = 0
    index, mask = torch.arange(8) // 8, torch.ones(8, 600)
    compute = advantage_function(make("dr_grpo"))
    wide, _ = compute(tokens, mask, index)
    half, _ = compute(tokens.bfloat16(), mask, index)
    assert torch.equal(half, wide)


def test_settings_are_made_what_the_field_says():
    whole = make("positive_dominant", beta=5)
    assert type(whole.group.beta) is float
    assert whole.settings() == make("positive_dominant", beta=5.0).settings()
    weights = make("gdpo", weights={"accuracy": 1, "format": 2}).base.weights
    assert [type(weight) for weight in weights.values()] == [float, float]
    order = make("pkpo", k=2.0)
    assert type(order.base.k) is int
    for field in ("ddof", "epsilon"):
        with pytest.raises(ValueError, match=f"advantage.base.{field} must be a number .*, got True"):
            make("grpo", **{field: True})
