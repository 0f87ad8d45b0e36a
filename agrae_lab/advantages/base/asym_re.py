"""AsymRE: a baseline a little below the group's mean."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred


@link("base", "asym_re")
@dataclass(frozen=True)
class AsymRE:
    """A = r − (mean(r) + δ)   (arXiv 2506.20520;
    modelscope/Trinity-RFT:trinity/algorithm/advantage_fn/asymre_advantage.py).

    shift: δ, finite; recommended −0.1, which favours learning from correct completions off policy. δ = 0 is Dr.GRPO.
    All rewards equal, a lone decided completion: −δ (the code gives the reward itself to a group of one).
    """

    shift: float = -0.1

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"shift_invariant", "groups_independent"})

    def __post_init__(self) -> None:
        if not math.isfinite(self.shift):
            raise ValueError(f"advantage.base.shift must be finite (arXiv 2506.20520 has -0.1), got {self.shift}")

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return torch.where(rewards_PG.isnan(), 0.0, centred(rewards_PG) - self.shift)
