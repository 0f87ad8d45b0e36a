"""Pass@k by the best completion alone, against the second best."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, num_valid, quotient, std_of


@link("base", "grpo_passk")
@dataclass(frozen=True)
class GRPOPassK:
    """A = (r₍₁₎ − r₍₂₎) / (std(r) + ε) for the best completion, 0 for all others   (arXiv 2503.19595; verl's
    grpo_passk).

    r₍₁₎ and r₍₂₎ are the two largest rewards, so that k is the group's size. For 0/1 rewards it is other than 0 only
    if exactly one completion is correct.
    ddof, epsilon: 0 and 0, as in GRPO; official has verl's, 1 and 1e-6.
    Two equally good best completions, all rewards equal, a lone decided completion: 0.
    """

    ddof: int = 0
    epsilon: float = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "groups_independent"})

    def __post_init__(self) -> None:
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n = num_valid(rewards_PG)
        best, second = rewards_PG.nan_to_num(nan=-torch.inf).topk(2, dim=1).values.split(1, dim=1)
        lead = torch.where(n > 1, best - second, 0.0)
        scale = std_of(centred(rewards_PG), n, ddof=self.ddof) + self.epsilon
        return torch.where(rewards_PG == best, quotient(lead, scale), 0.0)
