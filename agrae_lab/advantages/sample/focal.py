"""F-GRPO's focal weight: prompts count less the more often they are solved."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import success_rate


@link("sample", "focal")
@dataclass(frozen=True)
class Focal:
    """A* = (1−p)^γ · A   (F-GRPO, arXiv 2602.06717).

    gamma: γ ≥ 0; recommended 0.5, the paper tries 0.5, 1 and 2. γ = 0 leaves A as it is.
    p = 0: A* = A; p = 1: 0. Rewards must lie in [0, 1]. The update mass shrinks with γ as well: compare with
    `match=l1`, as the paper does with a matched learning rate.
    """

    gamma: float = 0.5

    BREAKS: ClassVar = frozenset({"shift_invariant"})

    def __post_init__(self) -> None:
        if not 0 <= self.gamma < math.inf:
            raise ValueError(
                f"advantage.sample.gamma must not be negative (arXiv 2602.06717 has 0.5), got {self.gamma}"
            )

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.accuracy(rewards_PG))
        return advantages_PG * (1 - p_P1).clamp(min=0).pow(self.gamma)
