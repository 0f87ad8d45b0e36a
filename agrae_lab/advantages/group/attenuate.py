"""ASS, the attenuation suppression strategy: positive advantages grow with the mean reward."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above, at_most
from agrae_lab.advantages.statistics import batch_mean


@link("group", "attenuate")
@dataclass(frozen=True)
class Attenuate(Link):
    """Explore while the policy is weak: hold positive advantages back until the mean reward has grown.

    A* = A · min(1, ω/α) if A > 0, else A   (ASS, Eq. 13).

    ω is the mean reward of the batch (Eq. 11), of a shaped reward the mean accuracy. Symmetry returns at ω ≥ α, where
    A* = A.
    Rewards must lie in [0, 1]: a negative ω would turn the sign of the positives.

    >>> from agrae_lab.advantages import make
    >>> make("a_grae_group_only")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.4330, -0.5774, -0.5774, -0.5774]])
    """

    alpha: Annotated[
        float,
        above(0),
        at_most(1),
        "α, the mean reward at which symmetry returns; the paper has 1 for MATH, 0.5 for Geo3K and medical, its code 1",
    ] = 1.0

    BREAKS: ClassVar = frozenset({"zero_sum", "groups_independent", "shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        omega = batch_mean(context.correctness(rewards_PG)) if context.omega is None else context.omega
        factor = torch.as_tensor(omega / self.alpha).clamp(max=1.0).to(advantages_PG)
        return torch.where(advantages_PG > 0, advantages_PG * factor, advantages_PG)
