"""MaxRL: the likelihood of success, ln p, as the objective in place of p."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import centred, quotient, success_rate


@link("base", "max_rl")
@dataclass(frozen=True)
class MaxRL(Link):
    """Maximise the log-likelihood of success, which gives hard prompts more weight.

    A = (r − p) / (p + ε)   (arXiv 2602.02710; tajwarfahim/maxrl:verl/trainer/ppo/core_algos.py, p_normalization).

    For 0/1 rewards: (1−p)/p if r = 1, −1 if r = 0; Dr.GRPO over p. Rewards must lie in [0, 1].
    Of a shaped reward, r less the group's mean reward is divided by the success rate p; p = 0 gives 0, since the
    likelihood of success has no gradient to estimate there.
    p = 0, p = 1, a lone valid completion: 0. It is the limit of Maclaurin.

    >>> from agrae_lab.advantages import make
    >>> make("max_rl")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 3., -1., -1., -1.]])
    """

    epsilon: Annotated[float, at_least(0), "ε, added to p; 0 in arXiv 2602.02710, 1e-6 in its code"] = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-6}
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.correctness(rewards_PG))
        return torch.where(p_P1 > 0, quotient(centred(rewards_PG), p_P1 + self.epsilon), 0.0)
