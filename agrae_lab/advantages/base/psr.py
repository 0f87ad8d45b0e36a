"""Positive sample reinforcement: correct completions only."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import is_correct


@link("base", "psr")
@dataclass(frozen=True)
class PSR(Link):
    """Learn from correct completions only: the counterpart of NSR.

    A = 1 if correct, 0 if incorrect   (PSR, arXiv 2506.01347).

    The source drops incorrect completions from the batch, which also changes the loss's denominators; here they
    stay, with advantage 0. An all-correct group keeps its 1s; G = 1 works.
    Of a shaped reward accuracy alone counts.

    >>> from agrae_lab.advantages import make
    >>> make("psr")(Tensor([[1, 0, 0, 0]]))
    tensor([[1., 0., 0., 0.]])
    """

    LAWS: ClassVar = frozenset({"groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return is_correct(context.correctness(rewards_PG)).to(rewards_PG.dtype)
