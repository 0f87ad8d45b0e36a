"""Equal squared update mass: rescale the batch to plain GRPO's ΣA²."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.match.l1 import by_completion


@link("match", "l2")
@dataclass(frozen=True)
class L2:
    """A* = A · √(ΣA_GRPO² / ΣA²), sums over the whole batch, A_GRPO plain GRPO's advantages of the same rewards.

    As `match=l1`, for gradients whose noise goes with the square of A: few large advantages count for more than many
    small ones. GRPO is its fixed point. Where advantages differ from token to token, the A² of a completion is the
    mean over its tokens.
    Where ΣA² = 0 there is nothing to rescale: A* = A.
    ddof, epsilon: plain GRPO's, as in `base/grpo.py`.
    """

    ddof: int = 0
    epsilon: float = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    BREAKS: ClassVar = frozenset({"groups_independent"})

    def __post_init__(self) -> None:
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, advantages: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        grpo_PG = GRPO(ddof=self.ddof, epsilon=self.epsilon)(rewards_PG, context)
        norm = _norm(advantages, context)
        return advantages * torch.where(norm > 0, _norm(grpo_PG, context) / norm, 1.0).to(advantages)


def _norm(advantages: Tensor, context: Context) -> Tensor:
    """√ΣA², summed in float64: squares of small float32 numbers are 0 in float32."""
    return by_completion(advantages.double().square(), context).sum().sqrt()
