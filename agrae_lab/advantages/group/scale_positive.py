"""Positive- and Negative-Dominant: positive advantages times a constant."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above


@link("group", "scale_positive")
@dataclass(frozen=True)
class ScalePositive(Link):
    """Break the symmetry between correct and incorrect completions by a constant.

    A* = β · A if A > 0, else A   (Table 1a). β = 10: Positive-Dominant; β = 1/10: Negative-Dominant; β = 1: A.

    >>> from agrae_lab.advantages import make
    >>> make("negative_dominant")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.1732, -0.5774, -0.5774, -0.5774]])
    """

    beta: Annotated[float, above(0), "β, the factor on positive advantages; the paper has 10 and 0.1"] = 10.0

    BREAKS: ClassVar = frozenset({"zero_sum"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        return torch.where(advantages_PG > 0, self.beta * advantages_PG, advantages_PG)
