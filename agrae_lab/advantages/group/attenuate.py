"""ASS, the attenuation suppression strategy: positive advantages grow with the batch's mean reward."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import batch_mean


@link("group", "attenuate")
@dataclass(frozen=True)
class Attenuate:
    """A* = A · min(1, ω/α) if A > 0, else A   (ASS, Eq. 13).

    ω is the mean reward of the batch (Eq. 11), of a shaped reward the mean accuracy: positives are held back while the
    policy is weak, which favours exploration, and symmetry returns at ω ≥ α, where A* = A.
    alpha: 0 < α ≤ 1; the paper has 1 for MATH, 0.5 for Geo3K and medical. The authors' code has 1.
    Rewards must lie in [0, 1]: a negative ω would turn the sign of the positives.
    """

    alpha: float = 1.0

    BREAKS: ClassVar = frozenset({"zero_sum", "groups_independent", "shift_invariant"})

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ValueError(f"advantage.group.alpha must be above 0 and at most 1 (Eq. 13), got {self.alpha}")

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        omega = batch_mean(context.accuracy(rewards_PG)) if context.omega is None else context.omega
        factor = torch.as_tensor(omega / self.alpha).clamp(max=1.0).to(advantages_PG)
        return torch.where(advantages_PG > 0, advantages_PG * factor, advantages_PG)
