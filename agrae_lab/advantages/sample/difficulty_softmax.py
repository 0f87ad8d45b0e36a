"""DGPO's difficulty-aware question-level weights: a softmax over the batch, in favour of hard prompts."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import is_tied, success_rate


@link("sample", "difficulty_softmax")
@dataclass(frozen=True)
class DifficultySoftmax:
    """A* = m · softmax(−p/T) · A, the softmax over the batch's m groups whose rewards differ   (DQW of MathForge, arXiv
    2601.20614; AMAP-ML/MathForge:trl-0.20.0/trl/trainer/grpo_trainer.py).

    The weights of these groups have mean 1. T → ∞ leaves A as it is.
    temperature: T > 0; recommended 2.
    A group whose rewards are all equal keeps its A. Rewards must lie in [0, 1].
    """

    temperature: float = 2.0

    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"advantage.sample.temperature must be above 0 (arXiv 2601.20614 has 2), got {self.temperature}"
            )

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        is_weighed = ~is_tied(rewards_PG)
        p_P1 = success_rate(context.accuracy(rewards_PG))
        scores_P1 = (-p_P1 / self.temperature).masked_fill(~is_weighed, -torch.inf)
        weights_P1 = is_weighed.sum() * scores_P1.softmax(dim=0)
        return advantages_PG * torch.where(is_weighed, weights_P1, 1.0)
