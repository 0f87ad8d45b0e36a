"""GRPO-LEAD's weights: surprising completions count more, rare successes and failures alike."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above
from agrae_lab.advantages.statistics import success_rate


@link("group", "lead")
@dataclass(frozen=True)
class Lead(Link):
    """Learn more from successes on hard prompts and from failures on easy ones.

    A* = w(p) · A if A > 0, w(1−p) · A if not, w(x) = a + (b−a)/(1 + e^{k(x−x₀)})   (GRPO-LEAD, arXiv 2504.09696;
    aeroplanepaper/GRPO-LEAD:verl/verl/trainer/ppo/core_algos.py, logistic_reweight).

    This is the method's weight by difficulty; its reward for short answers and its penalties belong to a reward.
    a = b = 1 leaves A as it is. Rewards must lie in [0, 1]; p = 0 and p = 1 are weighed like any other.

    >>> from agrae_lab.advantages import make
    >>> make("grpo_lead")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 2.5853, -0.5485, -0.5485, -0.5485]])
    """

    smallest: Annotated[float, above(0), "a, the smallest weight; arXiv 2504.09696 has 0.4"] = 0.4
    largest: Annotated[float, above(0), "b, the largest weight; arXiv 2504.09696 has 1.5"] = 1.5
    midpoint: Annotated[float, "x₀, the rate of the mean weight; arXiv 2504.09696 has 0.75"] = 0.75
    steepness: Annotated[float, "k of the logistic; arXiv 2504.09696 has 10"] = 10.0

    BREAKS: ClassVar = frozenset({"zero_sum", "shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.correctness(rewards_PG))
        return advantages_PG * torch.where(advantages_PG > 0, self._weight(p_P1), self._weight(1 - p_P1))

    def _weight(self, x: Tensor) -> Tensor:
        return self.smallest + (self.largest - self.smallest) * (self.steepness * (self.midpoint - x)).sigmoid()
