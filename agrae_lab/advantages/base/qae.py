"""QAE: a quantile of the group's rewards as baseline, in place of their mean."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, num_valid, quotient, std_of


@link("base", "qae")
@dataclass(frozen=True)
class QAE:
    """A = (r − Q_K) / (std(r) + ε), Q_K = inf{x : F(x) ≥ K}   (arXiv 2509.22611, Eq. 4; junkangwu/QAE:README.md).

    F is the share of the group's rewards that are at most x; Q_K is one of the rewards. For 0/1 rewards: a hard prompt
    (p ≤ 1 − K) has Q_K = 0 and moves its correct completions alone, an easy one has Q_K = 1 and moves the incorrect
    alone. torch.quantile interpolates between rewards instead (0.8 at G = 8, p = 5/8, K = 0.4): not that.
    quantile: K, 0 < K < 1; recommended 0.4, or 0.6 where entropy collapses.
    ddof, epsilon: as in GRPO, 0 and 0.
    All rewards equal, a lone decided completion: 0.
    """

    quantile: float = 0.4
    ddof: int = 0
    epsilon: float = 0.0

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "groups_independent"})

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(
                f"advantage.base.quantile must be above 0 and below 1 (arXiv 2509.22611 has 0.4), got {self.quantile}"
            )
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n = num_valid(rewards_PG)
        # the smallest rank whose share of n is at least K; the subtraction keeps 0.28 · 25 at 7
        rank = (self.quantile * n.double() - 1e-9).ceil().long().clamp(min=1)
        ordered = rewards_PG.nan_to_num(nan=math.inf).sort(dim=1).values
        deviations = rewards_PG - ordered.gather(1, rank - 1)
        scale = std_of(centred(rewards_PG), n, ddof=self.ddof) + self.epsilon
        return quotient(torch.where(rewards_PG.isnan(), 0.0, deviations), scale)
