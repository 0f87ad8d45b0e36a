"""KRPO: a Kalman filter over the group, in the order of its completions, as baseline and scale."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above, at_least

EPSILON = 1e-8  # in the authors' code


@link("base", "krpo")
@dataclass(frozen=True)
class KRPO(Link):
    """Estimate baseline and scale of noisy rewards by a filter in place of the group's statistics.

    A_i = (r_i − x_i) / (√P_i + 1e-8), x_i = x_{i−1} + K_i·(r_i − x_{i−1}), P_i = (1 − K_i)·(P_{i−1} + Q),
    K_i = (P_{i−1} + Q) / (P_{i−1} + Q + R)   (arXiv 2505.07527; billhhh/KRPO_LLMs_RL:train.py, group_advantages).

    The filter starts at x_0 = 0, P_0 = 1 in every group. The order of the completions matters: [1, 0, 0, 0] and its
    reverse give other advantages.
    All incorrect: 0. All correct: above 0, since the filter starts from 0. Invalid completions are passed over.

    >>> from agrae_lab.advantages import make
    >>> make("krpo")(Tensor([[1, 0, 0, 0], [0, 0, 0, 1]]))
    tensor([[ 0.0995, -7.0481, -5.7514, -4.9725],
            [ 0.0000,  0.0000,  0.0000, 14.9873]])
    """

    process_variance: Annotated[
        float, at_least(0), "Q, the variance added at each completion; 1e-5 in the code of arXiv 2505.07527"
    ] = 1e-5
    measurement_variance: Annotated[
        float, above(0), "R, the variance of a reward; 1e-2 in the code of arXiv 2505.07527"
    ] = 1e-2

    LAWS: ClassVar = frozenset({"groups_independent"})
    BREAKS: ClassVar = frozenset({"permutation_equivariant"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        mean_P, variance_P = torch.zeros_like(rewards_PG[:, 0]), torch.ones_like(rewards_PG[:, 0])
        advantages = []
        for reward_P in rewards_PG.unbind(dim=1):
            is_valid = ~reward_P.isnan()
            predicted_P = variance_P + self.process_variance
            gain_P = predicted_P / (predicted_P + self.measurement_variance)
            mean_P = torch.where(is_valid, mean_P + gain_P * (reward_P - mean_P), mean_P)
            variance_P = torch.where(is_valid, (1 - gain_P) * predicted_P, variance_P)
            advantages.append(torch.where(is_valid, (reward_P - mean_P) / (variance_P.sqrt() + EPSILON), 0.0))
        return torch.stack(advantages, dim=1)
