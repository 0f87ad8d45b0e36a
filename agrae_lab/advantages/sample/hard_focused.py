"""Hard-Focused: prompts count more the less often they are solved."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import is_mixed, success_rate


@link("sample", "hard_focused")
@dataclass(frozen=True)
class HardFocused:
    """A* = γ · A / √p where 0 < p < 1, else A   (Table 1b; γ = 0.5).

    On GRAE (ddof 0): Σ|A*| = 2γ·G·√(1−p), so that the update mass falls with p instead of peaking at 1/2.
    """

    gamma: float = 0.5

    BREAKS: ClassVar = frozenset({"shift_invariant"})

    def __post_init__(self) -> None:
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"advantage.sample.gamma must be above 0 (the paper has 0.5), got {self.gamma}")

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.accuracy(rewards_PG))
        return advantages_PG * torch.where(is_mixed(p_P1), self.gamma / p_P1.sqrt(), 1.0)
