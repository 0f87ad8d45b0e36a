"""NGRPO: GRPO with one more completion in every group, imagined and correct."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, check_unit_rewards, num_valid, quotient, std_of


@link("base", "ngrpo")
@dataclass(frozen=True)
class NGRPO:
    """A = (r − mean(r⁺)) / (std(r⁺) + ε), r⁺ the group's rewards and a 1   (arXiv 2509.18851;
    nangongrui-ngr/NGRPO:verl/trainer/ppo/core_algos.py).

    An all-incorrect group learns too: −1/√(n+1) with ddof 1, n the decided completions. An all-correct one gets 0.
    ddof, epsilon: 1 and 0; the authors' code has 1 and 1e-6. Its clips of 0.16 and 0.24 are the loss's.
    Rewards must lie in [0, 1]. G = 1 works: 0 if correct.
    """

    ddof: int = 1
    epsilon: float = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-6}
    LAWS: ClassVar = frozenset({"groups_independent"})

    def __post_init__(self) -> None:
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        check_unit_rewards(rewards_PG)
        extended = torch.cat([rewards_PG, torch.ones_like(rewards_PG[:, :1])], dim=1)
        deviations = centred(extended)
        scale = std_of(deviations, num_valid(extended), ddof=self.ddof) + self.epsilon
        return quotient(deviations[:, :-1], scale)
