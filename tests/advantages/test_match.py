"""Matching: any estimator at plain GRPO's update mass."""

import pytest
import torch
from advantage_lab import close, groups, tensor

from agrae_lab.advantages import Context, make

MASS = {"l1": lambda a: a.abs(), "l2": lambda a: a.square()}


@pytest.mark.parametrize("match", MASS)
def test_match_brings_any_estimator_to_the_mass_of_grpo(match):
    rewards, _ = groups(8)
    found = make("max_rl", match=match)(rewards)
    assert MASS[match](found).sum().item() == pytest.approx(MASS[match](make("grpo")(rewards)).sum().item())
    ratio = found[1:-1] / make("max_rl")(rewards)[1:-1]
    close(ratio, ratio[0, 0].expand_as(ratio))
    assert (make("max_rl", match=match)(rewards[:1]) == 0).all()


@pytest.mark.parametrize("match", MASS)
def test_match_of_token_advantages_counts_a_completion_once(match):
    rewards = tensor([1, 0, 0, 0], [1, 1, 0, 0])
    mask = torch.arange(3) < torch.tensor([[1, 2, 3, 3], [3, 1, 1, 2]])[..., None]
    context = Context(entropies_PGT=torch.rand(2, 4, 3).double(), mask_PGT=mask)
    found = MASS[match](make("entropy_advantage", match=match)(rewards, context))
    by_completion = found.sum(dim=2) / mask.sum(dim=2)
    assert by_completion.sum().item() == pytest.approx(MASS[match](make("grpo")(rewards)).sum().item())


def test_l2_does_not_lose_small_float32_numbers():
    rewards = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    faint = make("f_grpo", gamma=100.0)  # 2^−100 of GRPO; the square of that is 0 in float32
    assert make("f_grpo", gamma=100.0, match="l2")(rewards).tolist() == make("grpo")(rewards).tolist()
    assert 0 < faint(rewards).abs().max() < 1e-29
    tiny = torch.tensor([[1e-22, 0.0, 0.0, 0.0]])
    assert make("dr_grpo", match="l2")(tiny).isfinite().all()
