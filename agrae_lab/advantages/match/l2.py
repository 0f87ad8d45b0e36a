"""Equal squared update mass: the batch rescaled to plain GRPO's ΣA²."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO, Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.match.l1 import by_completion
from agrae_lab.advantages.settings import Link


@link("match", "l2")
@dataclass(frozen=True)
class L2(Link):
    """Control for the noise of gradients, which goes with the square of A: few large advantages count for more.

    A* = A · √(ΣA_GRPO² / ΣA²), sums over the whole batch, A_GRPO plain GRPO's advantages of the same rewards.

    GRPO is its fixed point. Where advantages differ from token to token, the A² of a completion is the mean over its
    tokens. ΣA² = 0: A* = A.

    >>> from agrae_lab.advantages import make
    >>> make("dr_grpo", match="l2")(Tensor([[1, 0, 0, 0], [1, 1, 0, 0]]))
    tensor([[ 1.6036, -0.5345, -0.5345, -0.5345],
            [ 1.0690,  1.0690, -1.0690, -1.0690]])
    """

    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    TRL: ClassVar = GRPO.TRL
    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, advantages: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        grpo_PG = GRPO(ddof=self.ddof, epsilon=self.epsilon)(rewards_PG, context)
        norm = _norm(advantages, context)
        return advantages * torch.where(norm > 0, _norm(grpo_PG, context) / norm, 1.0).to(advantages)


def _norm(advantages: Tensor, context: Context) -> Tensor:
    """Return √ΣA², summed in float64: squares of small float32 numbers are 0 in float32."""
    return by_completion(advantages.double().square(), context).sum().sqrt()
