"""Group statistics that leave undecided rewards (NaN) out.

Shapes: P prompts, G completions a prompt; `rewards_PG` is [P, G], `p_P1` is [P, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor


def num_valid(rewards_PG: Tensor) -> Tensor:
    """Completions with a verdict, per group, [P, 1]."""
    return (~rewards_PG.isnan()).sum(dim=1, keepdim=True)


def group_mean(rewards_PG: Tensor) -> Tensor:
    """Mean reward of each group, [P, 1]; 0 for a group without any verdict. For 0/1 rewards it is p."""
    return rewards_PG.nansum(dim=1, keepdim=True) / num_valid(rewards_PG).clamp(min=1)


def centred(rewards_PG: Tensor) -> Tensor:
    """r − mean(r), [P, G]; exactly 0 where a group's rewards are all equal, and for NaN.

    The mean of equal rewards is not always equal to them in floating point; dividing that residue by a standard
    deviation of the same size would turn it into an advantage of order one.
    """
    deviations = rewards_PG - group_mean(rewards_PG)
    return torch.where(is_tied(rewards_PG) | rewards_PG.isnan(), 0.0, deviations)


def std_of(deviations_PG: Tensor, num_valid_P1: Tensor, *, ddof: int) -> Tensor:
    """Standard deviation from a group's deviations (`centred`) over n − ddof, [P, 1]; 0 if n ≤ ddof."""
    degrees = num_valid_P1 - ddof
    variance = deviations_PG.square().sum(dim=1, keepdim=True) / degrees.clamp(min=1)
    return torch.where(degrees > 0, variance, 0.0).sqrt()


def is_tied(rewards_PG: Tensor) -> Tensor:
    """Whether all decided rewards of a group are equal, [P, 1]; true for a group without any."""
    low = rewards_PG.nan_to_num(nan=torch.inf).amin(dim=1, keepdim=True)
    high = rewards_PG.nan_to_num(nan=-torch.inf).amax(dim=1, keepdim=True)
    return low >= high


def success_rate(rewards_PG: Tensor) -> Tensor:
    """p = mean reward of each group, [P, 1].

    Raises:
        ValueError: rewards outside [0, 1], of which p would not be a rate.
    """
    _check_unit_rewards(rewards_PG)
    return group_mean(rewards_PG)


def is_mixed(p_P1: Tensor) -> Tensor:
    """Whether a group has both successes and failures, 0 < p < 1, [P, 1]."""
    return (p_P1 > 0) & (p_P1 < 1)


def is_correct(rewards_PG: Tensor) -> Tensor:
    """Rewards above one half count as correct, [P, G]; false for NaN."""
    return rewards_PG > 0.5


def batch_mean(rewards_PG: Tensor) -> Tensor:
    """ω, the mean reward over all decided trajectories of the batch (Eq. 11), a scalar; 0 if there is none.

    The authors' code takes the mean of the groups' means: the same number when groups are equal in size.

    Raises:
        ValueError: rewards outside [0, 1], of which ω would not be a state of training.
    """
    _check_unit_rewards(rewards_PG)
    return rewards_PG.nansum() / (~rewards_PG.isnan()).sum().clamp(min=1)


def _check_unit_rewards(rewards_PG: Tensor) -> None:
    if rewards_PG.numel() == 0:
        return
    low, high = rewards_PG.nan_to_num(nan=0.5).aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            "this estimator weighs by mean rewards as success rates and needs rewards in [0, 1]; "
            f"got {low:g} to {high:g}"
        )
