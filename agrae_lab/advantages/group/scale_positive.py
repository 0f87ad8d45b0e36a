"""Positive- and Negative-Dominant: positive advantages times a constant."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link


@link("group", "scale_positive")
@dataclass(frozen=True)
class ScalePositive:
    """A* = β · A if A > 0, else A   (Table 1a). β = 10: Positive-Dominant; β = 1/10: Negative-Dominant; β = 1: A."""

    beta: float = 10.0

    BREAKS: ClassVar = frozenset({"zero_sum"})

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"advantage.group.beta must be above 0 (the paper has 10 and 0.1), got {self.beta}")

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        return torch.where(advantages_PG > 0, self.beta * advantages_PG, advantages_PG)
