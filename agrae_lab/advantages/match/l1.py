"""Equal update mass: rescale the batch to plain GRPO's Σ|A|."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link


@link("match", "l1")
@dataclass(frozen=True)
class L1:
    """A* = A · Σ|A_GRPO| / Σ|A|, sums over the whole batch, A_GRPO plain GRPO's advantages of the same rewards.

    The control for "is it a better estimator, or only a different learning rate?". GRPO is its fixed point.
    Where Σ|A| = 0 there is nothing to rescale: A* = A.
    ddof, epsilon: plain GRPO's, as in `base/grpo.py`.
    """

    ddof: int = 0
    epsilon: float = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __post_init__(self) -> None:
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        grpo_PG = GRPO(ddof=self.ddof, epsilon=self.epsilon)(rewards_PG, context)
        mass = advantages_PG.abs().sum()
        return advantages_PG * torch.where(mass > 0, grpo_PG.abs().sum() / mass, 1.0)
