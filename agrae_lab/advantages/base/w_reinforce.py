"""W-REINFORCE: the sign of the reward, with correct completions weighted down."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import is_correct


@link("base", "w_reinforce")
@dataclass(frozen=True)
class WReinforce:
    """A = λ if correct, −1 if incorrect   (W-REINFORCE of RLVR-Decomposed, arXiv 2506.01347).

    positive_weight: λ, recommended 0.1; λ = 0 is NSR.
    Nothing is compared within the group: all-correct and all-incorrect groups keep their ±, and G = 1 works.
    Of a shaped reward accuracy alone counts.
    """

    positive_weight: float = 0.1

    LAWS: ClassVar = frozenset({"groups_independent"})

    def __post_init__(self) -> None:
        if not 0 <= self.positive_weight < math.inf:
            raise ValueError(f"advantage.base.positive_weight must not be negative, got {self.positive_weight}")

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        correct, incorrect = rewards_PG.new_tensor(self.positive_weight), rewards_PG.new_tensor(-1.0)
        return torch.where(is_correct(context.accuracy(rewards_PG)), correct, incorrect)
