"""MAPO: advantages in standard deviations where a prompt is uncertain, in shares of the mean where it is not."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO, Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, group_mean, num_valid, quotient, std_of, success_rate


@link("base", "mapo")
@dataclass(frozen=True)
class MAPO(Link):
    """Spare prompts of high certainty the large weight that a small standard deviation gives them.

    A = w·(r − mean(r))/(std(r) + ε) + (1 − w)·(r − mean(r))/(mean(r) + ε), w = 4p(1−p)   (arXiv 2509.18849;
    WenkeHuang/MAPO:code/verl/trainer/ray_trainer.py, GRPOMIXPRO).

    p = 1/2 is GRPO; p → 0 and p → 1 approach MaxRL, (r − p)/p. In the code p is the share of rewards equal to 1; of a
    shaped reward it is the success rate here, and r less its group's mean is divided. A mean of 0 leaves out that term.
    All rewards equal, a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> make("mapo")(Tensor([[1, 0, 0, 0], [1, 1, 0, 0]]))
    tensor([[ 2.0490, -0.6830, -0.6830, -0.6830],
            [ 1.0000,  1.0000, -1.0000, -1.0000]])
    """

    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    TRL: ClassVar = GRPO.TRL
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "groups_independent", "sign_preserving"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.correctness(rewards_PG))
        deviations, uncertainty_P1 = centred(rewards_PG), 4 * p_P1 * (1 - p_P1)
        std_P1 = std_of(deviations, num_valid(rewards_PG), ddof=self.ddof)
        mean_P1 = group_mean(rewards_PG)
        by_std = quotient(deviations, std_P1 + self.epsilon)
        by_mean = torch.where(mean_P1 == 0, 0.0, quotient(deviations, mean_P1 + self.epsilon))
        return uncertainty_P1 * by_std + (1 - uncertainty_P1) * by_mean
