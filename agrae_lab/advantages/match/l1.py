"""Equal update mass: rescale the batch to plain GRPO's Σ|A|."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import mean_over_tokens


@link("match", "l1")
@dataclass(frozen=True)
class L1:
    """A* = A · Σ|A_GRPO| / Σ|A|, sums over the whole batch, A_GRPO plain GRPO's advantages of the same rewards.

    The control for "is it a better estimator, or only a different learning rate?". GRPO is its fixed point. Where
    advantages differ from token to token, the |A| of a completion is the mean over its tokens.
    Where Σ|A| = 0 there is nothing to rescale: A* = A.
    ddof, epsilon: plain GRPO's, as in `base/grpo.py`.
    """

    ddof: int = 0
    epsilon: float = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __post_init__(self) -> None:
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, advantages: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        grpo_PG = GRPO(ddof=self.ddof, epsilon=self.epsilon)(rewards_PG, context)
        mass = by_completion(advantages.abs(), context).sum()
        return advantages * torch.where(mass > 0, grpo_PG.abs().sum() / mass, 1.0)


def by_completion(values: Tensor, context: Context) -> Tensor:
    """[P, G] as they are; [P, G, T] as the mean over the tokens of each completion."""
    if values.ndim == 2:
        return values
    assert context.mask_PGT is not None
    return mean_over_tokens(values, context.mask_PGT)
