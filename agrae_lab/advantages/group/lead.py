"""GRPO-LEAD's weights: surprising completions count more, rare successes and rare failures alike."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import success_rate


@link("group", "lead")
@dataclass(frozen=True)
class Lead:
    """A* = w(p) · A if A > 0, w(1−p) · A if not, w(x) = a + (b−a)/(1 + e^{k(x−x₀)})   (GRPO-LEAD, arXiv 2504.09696;
    aeroplanepaper/GRPO-LEAD:verl/verl/trainer/ppo/core_algos.py, logistic_reweight).

    This is the method's weighing by difficulty; its reward for short answers and its penalties belong to a reward.
    smallest, largest: a and b, above 0; recommended 0.4 and 1.5. 1 and 1 leave A as it is.
    midpoint, steepness: x₀ and k, finite; recommended 0.75 and 10.
    Rewards must lie in [0, 1]; p = 0 and p = 1 are weighed like any other.
    """

    smallest: float = 0.4
    largest: float = 1.5
    midpoint: float = 0.75
    steepness: float = 10.0

    BREAKS: ClassVar = frozenset({"zero_sum", "shift_invariant"})

    def __post_init__(self) -> None:
        for field, recommended in (("smallest", 0.4), ("largest", 1.5)):
            if not 0 < (value := getattr(self, field)) < math.inf:
                raise ValueError(
                    f"advantage.group.{field} must be above 0 (arXiv 2504.09696 has {recommended}), got {value}"
                )
        for field, recommended in (("midpoint", 0.75), ("steepness", 10)):
            if not math.isfinite(value := getattr(self, field)):
                raise ValueError(
                    f"advantage.group.{field} must be finite (arXiv 2504.09696 has {recommended}), got {value}"
                )

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.accuracy(rewards_PG))
        return advantages_PG * torch.where(advantages_PG > 0, self._weight(p_P1), self._weight(1 - p_P1))

    def _weight(self, x: Tensor) -> Tensor:
        return self.smallest + (self.largest - self.smallest) * (self.steepness * (self.midpoint - x)).sigmoid()
