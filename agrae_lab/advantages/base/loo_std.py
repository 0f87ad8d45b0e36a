"""GRPO as in NeMo-RL by default: mean and standard deviation of the other completions."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import centred, num_valid


@link("base", "loo_std")
@dataclass(frozen=True)
class LeaveOneOutStd(Link):
    """Reproduce runs of NeMo-RL, whose baseline and scale leave the completion itself out.

    A_i = (r_i − mean_{j≠i}(r_j)) / (std_{j≠i}(r_j) + ε), undivided where that std is 0   (NeMo-RL's default,
    NVIDIA-NeMo/RL:nemo_rl/algorithms/advantage_estimator.py, GRPOAdvantageEstimator).

    The standard deviation is unbiased. The others of a lone success are all 0, so that it stays undivided at 1: the
    rarest event weighs less than one of two successes, and ΣA ≠ 0 in such a group.
    All rewards equal, a lone valid completion: 0; two valid ones: undivided.

    >>> from agrae_lab.advantages import make
    >>> make("loo_std")(Tensor([[1, 0, 0, 0], [1, 1, 0, 0]]))
    tensor([[ 1.0000, -0.5773, -0.5773, -0.5773],
            [ 1.1547,  1.1547, -1.1547, -1.1547]])
    """

    epsilon: Annotated[float, at_least(0), "ε, added to the standard deviation; 1e-6 in NeMo-RL's code"] = 1e-6

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n, deviations = num_valid(rewards_PG).to(rewards_PG), centred(rewards_PG)
        lead = n / (n - 1).clamp(min=1)  # r_i − mean of the others = lead · (r_i − mean)
        squares = deviations.square()
        variance = (squares.sum(dim=1, keepdim=True) - lead * squares).clamp(min=0) / (n - 2).clamp(min=1)
        scale = torch.where(_others_tied(rewards_PG), 1.0, variance.sqrt() + self.epsilon)
        return lead * deviations / scale


def _others_tied(rewards_PG: Tensor) -> Tensor:
    """Return True where all other valid rewards of the group are equal, [P, G].

    Their variance would not do: as a difference of sums it keeps a residue, which would then divide.
    """
    low, next_low = rewards_PG.nan_to_num(nan=torch.inf).topk(2, dim=1, largest=False).values.split(1, dim=1)
    high, next_high = rewards_PG.nan_to_num(nan=-torch.inf).topk(2, dim=1).values.split(1, dim=1)
    without_lowest, without_highest = (
        (rewards_PG == low) & (next_low >= high),
        (rewards_PG == high) & (low >= next_high),
    )
    return without_lowest | without_highest
