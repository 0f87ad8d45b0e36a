"""OPO: the baseline of least variance, a mean weighed by length."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import is_tied


@link("base", "opo")
@dataclass(frozen=True)
class OPO(Link):
    """Reduce the variance of the gradient by the optimal baseline of on-policy training.

    A = r − Σ_j l_j·r_j / Σ_j l_j, l_j the completions' lengths in tokens   (arXiv 2505.23585; verl's opo).

    With equal lengths: Dr.GRPO. All rewards equal, a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> make("opo")(Tensor([[1, 0, 0, 0]]), Context(lengths_PG=Tensor([[5, 1, 2, 2]])))
    tensor([[ 0.5000, -0.5000, -0.5000, -0.5000]])
    """

    MIN_GROUP_SIZE: ClassVar = 2
    REQUIRES: ClassVar = frozenset({"lengths"})
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.lengths_PG is not None
        is_invalid = rewards_PG.isnan()
        lengths_PG = context.lengths_PG.to(rewards_PG).masked_fill(is_invalid, 0.0)
        weighted_P1 = (lengths_PG * rewards_PG.nan_to_num(nan=0.0)).sum(dim=1, keepdim=True)
        baseline_P1 = weighted_P1 / lengths_PG.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.where(is_invalid | is_tied(rewards_PG), 0.0, rewards_PG - baseline_P1)
