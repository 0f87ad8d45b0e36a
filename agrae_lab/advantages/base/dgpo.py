"""DGPO's advantage: reward against its group, in units of the group's mean absolute deviation."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, num_valid, quotient


@link("base", "dgpo")
@dataclass(frozen=True)
class DGPO:
    """A = n · (r − mean(r)) / (Σ_j|r_j − mean(r)| + ε)   (difficulty-balanced group advantage of MathForge, arXiv
    2601.20614; AMAP-ML/MathForge:trl-0.20.0/trl/trainer/grpo_trainer.py).

    n are the decided completions. Σ|A| = n in every mixed group, where GRPO's peaks at p = 1/2. For 0/1 rewards:
    1/(2p) if r = 1, −1/(2(1−p)) if r = 0; Dr.GRPO over 2p(1−p).
    epsilon: 0 in the paper, 1e-4 in the authors' code, which also scales by lengths: not done here.
    All rewards equal, a lone decided completion: 0. The preset `dgpo` has the weights by difficulty as well.
    """

    epsilon: float = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-4}
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon < math.inf:
            raise ValueError(
                "advantage.base.epsilon must not be negative (arXiv 2601.20614 has 0, its code 1e-4), "
                f"got {self.epsilon}"
            )

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        deviations = centred(rewards_PG)
        extent = deviations.abs().sum(dim=1, keepdim=True) + self.epsilon
        return quotient(num_valid(rewards_PG) * deviations, extent)
