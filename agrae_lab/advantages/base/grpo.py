"""GRPO's advantage: reward against its group, in units of the group's standard deviation."""

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, num_valid, std_of


@link("base", "grpo")
@dataclass(frozen=True)
class GRPO:
    """A = (r − mean(r)) / (std(r) + ε)   (group relative advantage estimation, Eq. 3; arXiv 2402.03300).

    ddof: 0 divides by n (the paper's proofs), 1 by n − 1 (the authors' code, verl, TRL).
    epsilon: added to the standard deviation; 0 in the paper, 1e-6 in the authors' code, 1e-4 in TRL.

    For 0/1 rewards and ddof 0: A = √((1−p)/p) if r = 1, −√(p/(1−p)) if r = 0. All rewards equal: 0.
    Reduces to Dr.GRPO without the division. G = 1 is refused (the authors' code gives the reward itself there).
    """

    ddof: int = 0
    epsilon: float = 0.0

    OFFICIAL: ClassVar = {"ddof": 1, "epsilon": 1e-6}
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __post_init__(self) -> None:
        if self.ddof not in (0, 1):
            raise ValueError(f"advantage.base.ddof must be 0 or 1, got {self.ddof}")
        if not 0 <= self.epsilon < math.inf:
            raise ValueError(f"advantage.base.epsilon must not be negative, got {self.epsilon}")

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        deviations = centred(rewards_PG)
        scale = std_of(deviations, num_valid(rewards_PG), ddof=self.ddof) + self.epsilon
        return deviations / scale.masked_fill(scale == 0, 1.0)  # all equal: the deviations are 0 too
