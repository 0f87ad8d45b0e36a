"""The entropy advantage: tokens that the policy was unsure of count for more."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link


@link("token", "entropy")
@dataclass(frozen=True)
class EntropyAdvantage:
    """A*_t = A + min(α·H_t, |A|/κ), H_t the entropy at token t in nats   (arXiv 2506.14758).

    Correct completions are pushed up most where the policy was unsure, incorrect ones down least there. κ > 1 keeps
    the sign of A, so that A = 0 stays 0.
    alpha: α ≥ 0; recommended 0.4 for GRPO, 0.1 for PPO. α = 0 leaves A as it is.
    kappa: κ > 1; recommended 2.
    Padding gets 0. It computes a value for every token, and so costs T times what a value a completion costs.
    """

    alpha: float = 0.4
    kappa: float = 2.0

    REQUIRES: ClassVar = frozenset({"entropies"})
    BREAKS: ClassVar = frozenset({"zero_sum"})

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < math.inf:
            raise ValueError(f"advantage.token.alpha must not be negative (arXiv 2506.14758 has 0.4), got {self.alpha}")
        if not 1 < self.kappa < math.inf:
            raise ValueError(f"advantage.token.kappa must be above 1 (arXiv 2506.14758 has 2), got {self.kappa}")

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.entropies_PGT is not None
        assert context.mask_PGT is not None
        advantages_PG1 = advantages_PG[..., None]
        bonus_PGT = (self.alpha * context.entropies_PGT.to(advantages_PG)).minimum(advantages_PG1.abs() / self.kappa)
        return torch.where(context.mask_PGT > 0, advantages_PG1 + bonus_PGT, 0.0)
