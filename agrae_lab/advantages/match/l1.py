"""Equal update mass: the batch rescaled to plain GRPO's Σ|A|."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO, Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import mean_over_tokens


@link("match", "l1")
@dataclass(frozen=True)
class L1(Link):
    """Tell a better estimator from a different learning rate: the control at equal update mass.

    A* = A · Σ|A_GRPO| / Σ|A|, sums over the whole batch, A_GRPO plain GRPO's advantages of the same rewards.

    GRPO is its fixed point. Where advantages differ from token to token, the |A| of a completion is the mean over its
    tokens. Σ|A| = 0: A* = A.

    >>> from agrae_lab.advantages import make
    >>> make("dr_grpo", match="l1")(Tensor([[1, 0, 0, 0], [1, 1, 0, 0]]))
    tensor([[ 1.5995, -0.5332, -0.5332, -0.5332],
            [ 1.0663,  1.0663, -1.0663, -1.0663]])
    """

    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    TRL: ClassVar = GRPO.TRL
    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, advantages: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        grpo_PG = GRPO(ddof=self.ddof, epsilon=self.epsilon)(rewards_PG, context)
        mass = by_completion(advantages.abs(), context).sum()
        return advantages * torch.where(mass > 0, grpo_PG.abs().sum() / mass, 1.0)


def by_completion(values: Tensor, context: Context) -> Tensor:
    """Return [P, G] values as they are, [P, G, T] ones as the mean over the tokens of each completion."""
    if values.ndim == 2:
        return values
    assert context.mask_PGT is not None
    return mean_over_tokens(values, context.mask_PGT)
