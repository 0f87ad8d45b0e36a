"""Powers of the success rate: a family of advantage curves, made for searches."""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least, at_most
from agrae_lab.advantages.statistics import is_correct, is_mixed, success_rate

Exponent = Annotated[float, at_least(-2), at_most(2)]


@link("base", "powers")
@dataclass(frozen=True)
class Powers(Link):
    """Search for advantage curves A⁺(p) and A⁻(p): one family with GRPO, Dr.GRPO and MaxRL in it.

    A = p^a (1−p)^b if correct, −c p^d (1−p)^e if incorrect; p = 0, p = 1: 0   (a family of this project; with c = 1
    its default is GRPO's A, Eq. 5 of arXiv 2602.05548).

    (a, b, c, d, e) = (−½, ½, 1, ½, −½) is GRPO, (0, 1, 1, 1, 0) Dr.GRPO, (−1, 1, 1, 0, 0) MaxRL; c = 0.1 with GRPO's
    exponents is Positive-Dominant over 10. ΣA = 0 on a part of the family only, and not at the default, c = ½.
    `match=l1` takes the total mass out of a comparison. Of a shaped reward accuracy alone counts, and a completion is
    correct above one half.

    >>> from agrae_lab.advantages import make
    >>> max_rl = make("powers", correct_p=-1, correct_q=1, incorrect_weight=1, incorrect_p=0, incorrect_q=0)
    >>> max_rl(Tensor([[1, 0, 0, 0]]))
    tensor([[ 3., -1., -1., -1.]])
    """

    correct_p: Annotated[Exponent, "a, the exponent of p for correct completions; GRPO has −½"] = -0.5
    correct_q: Annotated[Exponent, "b, the exponent of 1−p for correct completions; GRPO has ½"] = 0.5
    incorrect_weight: Annotated[float, at_least(0), "c, the weight of incorrect completions; GRPO has 1"] = 0.5
    incorrect_p: Annotated[Exponent, "d, the exponent of p for incorrect completions; GRPO has ½"] = 0.5
    incorrect_q: Annotated[Exponent, "e, the exponent of 1−p for incorrect completions; GRPO has −½"] = -0.5

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        correctness_PG = context.correctness(rewards_PG)
        correct_PG = is_correct(correctness_PG)
        p_P1 = success_rate(correct_PG.to(rewards_PG).masked_fill(correctness_PG.isnan(), math.nan))
        mixed_P1 = is_mixed(p_P1)
        p_P1 = torch.where(mixed_P1, p_P1, 0.5)  # a power of 0 may be infinite
        correct_P1 = p_P1**self.correct_p * (1 - p_P1) ** self.correct_q
        incorrect_P1 = -self.incorrect_weight * p_P1**self.incorrect_p * (1 - p_P1) ** self.incorrect_q
        advantages_PG = torch.where(correct_PG, correct_P1, incorrect_P1)
        return torch.where(mixed_P1 & ~correctness_PG.isnan(), advantages_PG, 0.0)
