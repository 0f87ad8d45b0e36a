"""KRPO: a Kalman filter, run over the group in the order of its completions, as baseline and scale."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link

EPSILON = 1e-8  # in the authors' code


@link("base", "krpo")
@dataclass(frozen=True)
class KRPO:
    """A_i = (r_i − x_i) / (√P_i + 1e-8), x_i = x_{i−1} + K_i·(r_i − x_{i−1}), P_i = (1 − K_i)·(P_{i−1} + Q),
    K_i = (P_{i−1} + Q) / (P_{i−1} + Q + R)   (arXiv 2505.07527; billhhh/KRPO_LLMs_RL:train.py, group_advantages).

    The filter starts at x_0 = 0, P_0 = 1 in every group. The order of the completions matters: [1, 0, 0, 0] and its
    reverse give other advantages.
    process_variance: Q ≥ 0; 1e-5 in the code.
    measurement_variance: R > 0; 1e-2 in the code.
    All incorrect: 0. All correct: above 0, since the filter starts from 0. Undecided completions are passed over.
    """

    process_variance: float = 1e-5
    measurement_variance: float = 1e-2

    LAWS: ClassVar = frozenset({"groups_independent"})
    BREAKS: ClassVar = frozenset({"permutation_equivariant"})

    def __post_init__(self) -> None:
        if not 0 <= self.process_variance < math.inf:
            raise ValueError(
                "advantage.base.process_variance must not be negative (the code of arXiv 2505.07527 has 1e-5), "
                f"got {self.process_variance}"
            )
        if not 0 < self.measurement_variance < math.inf:
            raise ValueError(
                "advantage.base.measurement_variance must be above 0 (the code of arXiv 2505.07527 has 1e-2), "
                f"got {self.measurement_variance}"
            )

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        mean_P, variance_P = torch.zeros_like(rewards_PG[:, 0]), torch.ones_like(rewards_PG[:, 0])
        advantages = []
        for reward_P in rewards_PG.unbind(dim=1):
            is_decided = ~reward_P.isnan()
            predicted_P = variance_P + self.process_variance
            gain_P = predicted_P / (predicted_P + self.measurement_variance)
            mean_P = torch.where(is_decided, mean_P + gain_P * (reward_P - mean_P), mean_P)
            variance_P = torch.where(is_decided, (1 - gain_P) * predicted_P, variance_P)
            advantages.append(torch.where(is_decided, (reward_P - mean_P) / (variance_P.sqrt() + EPSILON), 0.0))
        return torch.stack(advantages, dim=1)
