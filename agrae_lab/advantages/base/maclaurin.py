"""MaxRL truncated: the first T terms of the Maclaurin series of ln p, each without bias."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, whole_from
from agrae_lab.advantages.statistics import is_correct, num_correct, num_valid


@link("base", "maclaurin")
@dataclass(frozen=True)
class Maclaurin(Link):
    """Go from the gradient of p to that of ln p, MaxRL's, by the number of terms.

    A = 1 if correct, −Σ_{j=2}^{min(T,f)} C(f−1, j−1)/C(n−1, j−1) if not   (arXiv 2602.02710;
    tajwarfahim/maxrl:verl/trainer/ppo/maclaurin.py, maclaurin_weights).

    f is the number of incorrect completions among the n valid ones. The code's weights are these over n, for a loss
    that sums over a group; the loss here is a mean over it. T = 1 is PSR. There is no baseline.
    All correct: 1. All incorrect: −(min(T, n) − 1). G = 1 works, a lone valid completion gets 1 or 0.
    Of a shaped reward accuracy alone counts.

    >>> from agrae_lab.advantages import make
    >>> make("maclaurin", order=2)(Tensor([[1, 0, 0, 0]]))
    tensor([[ 1.0000, -0.6667, -0.6667, -0.6667]])
    """

    order: Annotated[
        int,
        whole_from(1),
        "T, the number of terms, at most n; arXiv 2602.02710 recommends no value",
    ] = 4

    LAWS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        correctness_PG, n = context.correctness(rewards_PG), num_valid(rewards_PG)
        num_incorrect = n - num_correct(correctness_PG)
        term, total = torch.ones_like(n, dtype=torch.float64), torch.zeros_like(n, dtype=torch.float64)
        for j in range(1, min(self.order, rewards_PG.shape[1])):
            term = term * (num_incorrect - j).clamp(min=0) / (n - j).clamp(min=1)
            total = total + term
        return torch.where(is_correct(correctness_PG), 1.0, -total).to(rewards_PG)
