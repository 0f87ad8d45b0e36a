"""MaxRL: towards the likelihood of success, ln p, in place of p."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, quotient, success_rate


@link("base", "max_rl")
@dataclass(frozen=True)
class MaxRL:
    """A = (r − p) / (p + ε)   (arXiv 2602.02710; tajwarfahim/maxrl:verl/trainer/ppo/core_algos.py, p_normalization).

    For 0/1 rewards: (1−p)/p if r = 1, −1 if r = 0; Dr.GRPO over p. Rewards must lie in [0, 1].
    epsilon: 0 in the paper, 1e-6 in the authors' code.
    Of a shaped reward, r less the group's mean reward is divided by the success rate p; p = 0 gives 0, since the
    likelihood of success has no gradient there to be estimated.
    p = 0, p = 1, a lone decided completion: 0. Maclaurin is what it is the limit of.
    """

    epsilon: float = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-6}
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "groups_independent"})

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < math.inf:
            raise ValueError(
                "advantage.base.epsilon must not be negative (arXiv 2602.02710 has 0, its code 1e-6), "
                f"got {self.epsilon}"
            )

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.accuracy(rewards_PG))
        return torch.where(p_P1 > 0, quotient(centred(rewards_PG), p_P1 + self.epsilon), 0.0)
