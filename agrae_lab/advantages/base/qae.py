"""QAE: a quantile of the group's rewards as baseline, in place of their mean."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above, below
from agrae_lab.advantages.statistics import centred, num_valid, quotient, std_of


@link("base", "qae")
@dataclass(frozen=True)
class QAE(Link):
    """Keep entropy between collapse and explosion: hard prompts move their successes alone, easy ones their failures.

    A = (r − Q_K) / (std(r) + ε), Q_K = inf{x : F(x) ≥ K}   (arXiv 2509.22611, Eq. 4; junkangwu/QAE:README.md).

    F is the share of the group's rewards that are at most x; Q_K is one of the rewards. For 0/1 rewards: a hard prompt
    (p ≤ 1 − K) has Q_K = 0 and moves its correct completions alone, an easy one has Q_K = 1 and moves the incorrect
    alone. torch.quantile interpolates between rewards instead (0.8 at G = 8, p = 5/8, K = 0.4): not that.
    All rewards equal, a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> make("qae")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 2.3094,  0.0000,  0.0000,  0.0000],
            [ 0.0000,  0.0000,  0.0000, -2.3094]])
    """

    quantile: Annotated[
        float,
        above(0),
        below(1),
        "K, the share of rewards at or below the baseline; arXiv 2509.22611 has 0.4, or 0.6 where entropy collapses",
    ] = 0.4
    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n = num_valid(rewards_PG)
        # the smallest rank whose share of n is at least K; the subtraction keeps 0.28 · 25 at 7
        rank = (self.quantile * n.double() - 1e-9).ceil().long().clamp(min=1)
        ordered = rewards_PG.nan_to_num(nan=math.inf).sort(dim=1).values
        deviations = rewards_PG - ordered.gather(1, rank - 1)
        scale = std_of(centred(rewards_PG), n, ddof=self.ddof) + self.epsilon
        return quotient(torch.where(rewards_PG.isnan(), 0.0, deviations), scale)
