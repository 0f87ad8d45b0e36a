"""W-REINFORCE: the sign of the reward, with correct completions weighted down."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import is_correct


@link("base", "w_reinforce")
@dataclass(frozen=True)
class WReinforce(Link):
    """Learn mostly from incorrect completions, and a little from correct ones.

    A = λ if correct, −1 if incorrect   (W-REINFORCE of RLVR-Decomposed, arXiv 2506.01347).

    Nothing is compared within the group: all-correct and all-incorrect groups keep their ±, and G = 1 works.
    Of a shaped reward accuracy alone counts.

    >>> from agrae_lab.advantages import make
    >>> make("w_reinforce")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.1000, -1.0000, -1.0000, -1.0000]])
    """

    positive_weight: Annotated[
        float, at_least(0), "λ, the advantage of a correct completion; arXiv 2506.01347 has 0.1, and 0 is NSR"
    ] = 0.1

    LAWS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        correct, incorrect = rewards_PG.new_tensor(self.positive_weight), rewards_PG.new_tensor(-1.0)
        return torch.where(is_correct(context.correctness(rewards_PG)), correct, incorrect)
