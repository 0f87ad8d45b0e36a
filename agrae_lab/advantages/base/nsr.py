"""Negative sample reinforcement: incorrect completions only."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import is_correct


@link("base", "nsr")
@dataclass(frozen=True)
class NSR(Link):
    """Learn from incorrect completions only, which keeps the diversity of correct ones.

    A = 0 if correct, −1 if incorrect   (NSR, arXiv 2506.01347).

    The source drops correct completions from the batch, which also changes the loss's denominators; here they
    stay, with advantage 0. An all-incorrect group keeps its −1s; G = 1 works.
    Of a shaped reward accuracy alone counts.

    >>> from agrae_lab.advantages import make
    >>> make("nsr")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0., -1., -1., -1.]])
    """

    LAWS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return is_correct(context.correctness(rewards_PG)).to(rewards_PG.dtype) - 1
