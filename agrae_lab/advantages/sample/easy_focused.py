"""Easy-Focused: prompts count more the more often they are solved."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import is_mixed, success_rate

EPSILON = 1e-6  # in the authors' code


def easy_divisor(p_P1: Tensor, form: str) -> Tensor:
    """What divides the advantage of a prompt with success rate p, [P, 1].

    sqrt_of_failure: √(1−p), the paper's text. one_minus_sqrt: 1 − √p + 1e-6, the authors' code.
    """
    return (1 - p_P1).sqrt() if form == "sqrt_of_failure" else 1 - p_P1.sqrt() + EPSILON


def check_form(form: str) -> None:
    """Raises ValueError unless `form` is one that `easy_divisor` knows."""
    if form not in ("sqrt_of_failure", "one_minus_sqrt"):
        raise ValueError(f"advantage.sample.easy_form must be sqrt_of_failure or one_minus_sqrt, got {form!r}")


@link("sample", "easy_focused")
@dataclass(frozen=True)
class EasyFocused:
    """A* = γ · A / √(1−p) where 0 < p < 1, else A   (Table 1b; γ = 0.5).

    On GRAE (ddof 0): Σ|A*| = 2γ·G·√p.
    easy_form: one_minus_sqrt divides by 1 − √p + 1e-6 instead, as the easy term of the authors' A-GRAE code does.
    """

    gamma: float = 0.5
    easy_form: str = "sqrt_of_failure"

    OFFICIAL: ClassVar = {"easy_form": "one_minus_sqrt"}
    BREAKS: ClassVar = frozenset({"shift_invariant"})

    def __post_init__(self) -> None:
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"advantage.sample.gamma must be above 0 (the paper has 0.5), got {self.gamma}")
        check_form(self.easy_form)

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.accuracy(rewards_PG))
        return advantages_PG * torch.where(is_mixed(p_P1), self.gamma / easy_divisor(p_P1, self.easy_form), 1.0)
