"""GRPO as NeMo-RL has it by default: mean and standard deviation of the other completions."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, num_valid


@link("base", "loo_std")
@dataclass(frozen=True)
class LeaveOneOutStd:
    """A_i = (r_i − mean_{j≠i}(r_j)) / (std_{j≠i}(r_j) + ε), undivided where that std is 0   (NeMo-RL's default,
    NVIDIA-NeMo/RL:nemo_rl/algorithms/advantage_estimator.py, GRPOAdvantageEstimator).

    The standard deviation is unbiased. The others of a lone success are all 0, so that it is left undivided at 1: the
    rarest event weighs less than one of two successes, and ΣA ≠ 0 in such a group.
    epsilon: 1e-6 in the code.
    All rewards equal, a lone decided completion: 0; two decided ones: undivided.
    """

    epsilon: float = 1e-6

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "sign_preserving", "groups_independent"})

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < math.inf:
            raise ValueError(f"advantage.base.epsilon must not be negative (NeMo-RL has 1e-6), got {self.epsilon}")

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n, deviations = num_valid(rewards_PG).to(rewards_PG), centred(rewards_PG)
        lead = n / (n - 1).clamp(min=1)  # r_i − mean of the others = lead · (r_i − mean)
        squares = deviations.square()
        variance = (squares.sum(dim=1, keepdim=True) - lead * squares).clamp(min=0) / (n - 2).clamp(min=1)
        scale = torch.where(_others_tied(rewards_PG), 1.0, variance.sqrt() + self.epsilon)
        return lead * deviations / scale


def _others_tied(rewards_PG: Tensor) -> Tensor:
    """Whether all other decided rewards of the group are equal, [P, G].

    Told by the rewards: their variance, a difference of sums, keeps a residue that would be divided by.
    """
    low, next_low = rewards_PG.nan_to_num(nan=torch.inf).topk(2, dim=1, largest=False).values.split(1, dim=1)
    high, next_high = rewards_PG.nan_to_num(nan=-torch.inf).topk(2, dim=1).values.split(1, dim=1)
    without_lowest, without_highest = (
        (rewards_PG == low) & (next_low >= high),
        (rewards_PG == high) & (low >= next_high),
    )
    return without_lowest | without_highest
