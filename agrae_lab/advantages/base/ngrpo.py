"""NGRPO: GRPO with one more completion in every group, imagined and correct."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, check_unit_rewards, num_valid, quotient, std_of


@link("base", "ngrpo")
@dataclass(frozen=True)
class NGRPO(Link):
    """Learn from all-incorrect groups too.

    A = (r − mean(r⁺)) / (std(r⁺) + ε), r⁺ the group's rewards and a 1   (arXiv 2509.18851;
    nangongrui-ngr/NGRPO:verl/trainer/ppo/core_algos.py).

    An all-incorrect group gets −1/√(n+1) with ddof 1, n the valid completions; an all-correct one 0. The authors' clips
    of 0.16 and 0.24 are settings of the loss.
    Rewards must lie in [0, 1]. G = 1 works: 0 if correct.

    >>> from agrae_lab.advantages import make
    >>> make("ngrpo")(Tensor([[1, 0, 0, 0], [0, 0, 0, 0]]))
    tensor([[ 1.0954, -0.7303, -0.7303, -0.7303],
            [-0.4472, -0.4472, -0.4472, -0.4472]])
    """

    ddof: Ddof = 1
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-6}
    LAWS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        check_unit_rewards(rewards_PG)
        extended = torch.cat([rewards_PG, torch.ones_like(rewards_PG[:, :1])], dim=1)
        deviations = centred(extended)
        scale = std_of(deviations, num_valid(extended), ddof=self.ddof) + self.epsilon
        return quotient(deviations[:, :-1], scale)
