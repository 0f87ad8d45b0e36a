"""RS-GRPO: a risk-sensitive objective, between the mean reward of a prompt and its best one."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, num_valid


@link("base", "rs_grpo")
@dataclass(frozen=True)
class RSGRPO(Link):
    """Keep exploring hard prompts: maximise (1/β)·log mean(e^{βr}), which rare successes raise most.

    A = (e^{βr} / mean(e^{βr}) − 1) / β   (arXiv 2509.24261; Jackory/RS-GRPO:codes/risk_sensitive_adv.py).

    For 0/1 rewards: Dr.GRPO times c / (β·(1 + p·c)), c = e^β − 1. β → 0 is Dr.GRPO, β < 0 averse to risk.
    All rewards equal, a lone valid completion: 0 (the code has another value for a group of one).

    >>> from agrae_lab.advantages import make
    >>> make("rs_grpo")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.9225, -0.3075, -0.3075, -0.3075]])
    """

    beta: Annotated[float, "β, above 0 to seek risk; arXiv 2509.24261 has 2, and 0 is Dr.GRPO"] = 2.0

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        deviations = centred(rewards_PG)
        if self.beta == 0:
            return deviations
        excess_PG, _ = exponential_excess(self.beta * deviations, rewards_PG.isnan())
        mean_P1 = excess_PG.nansum(dim=1, keepdim=True) / num_valid(rewards_PG).clamp(min=1)
        return ((excess_PG - mean_P1) / (self.beta * (1 + mean_P1))).nan_to_num(nan=0.0)


def exponential_excess(exponents_PG: Tensor, is_invalid: Tensor) -> tuple[Tensor, Tensor]:
    """Return e^(x − m) − 1, NaN where invalid, and m, the largest x of the group, [P, 1].

    Neither large exponents overflow nor small ones lose their digits.
    """
    largest_P1 = exponents_PG.masked_fill(is_invalid, -torch.inf).amax(dim=1, keepdim=True).clamp(min=0.0)
    return (exponents_PG - largest_P1).expm1().masked_fill(is_invalid, torch.nan), largest_P1
