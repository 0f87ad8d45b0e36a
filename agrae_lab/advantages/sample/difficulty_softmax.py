"""DGPO's difficulty-aware question-level weights: a softmax over the batch."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above
from agrae_lab.advantages.statistics import is_tied, success_rate


@link("sample", "difficulty_softmax")
@dataclass(frozen=True)
class DifficultySoftmax(Link):
    """Weigh prompts within a batch in favour of hard ones, at the same mean weight.

    A* = m · softmax(−p/T) · A, the softmax over the batch's m groups whose rewards differ   (DQW of MathForge, arXiv
    2601.20614; AMAP-ML/MathForge:trl-0.20.0/trl/trainer/grpo_trainer.py).

    The weights of these groups have mean 1. T → ∞ leaves A as it is.
    A group whose rewards are all equal keeps its A. Rewards must lie in [0, 1].

    >>> from agrae_lab.advantages import make
    >>> make("grpo", sample="difficulty_softmax")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 1.9474, -0.6491, -0.6491, -0.6491],
            [ 0.5056,  0.5056,  0.5056, -1.5167]])
    """

    temperature: Annotated[float, above(0), "T, higher for more even weights; arXiv 2601.20614 has 2"] = 2.0

    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        is_weighed = ~is_tied(rewards_PG)
        p_P1 = success_rate(context.correctness(rewards_PG))
        scores_P1 = (-p_P1 / self.temperature).masked_fill(~is_weighed, -torch.inf)
        weights_P1 = is_weighed.sum() * scores_P1.softmax(dim=0)
        return advantages_PG * torch.where(is_weighed, weights_P1, 1.0)
