"""DDAS, the dynamic difficulty attention shift: from easy prompts to hard ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.sample.easy_focused import EasyForm, easy_divisor
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import batch_mean, is_mixed, success_rate


@link("sample", "dynamic")
@dataclass(frozen=True)
class Dynamic(Link):
    """Attend to easy prompts early in training and to hard ones as the mean reward grows.

    A* = (ω/2) · A/√p + ((1−ω)/2) · A/√(1−p) where 0 < p < 1, else A   (DDAS, Eq. 12).

    ω is the mean reward of the batch (Eq. 11), of a shaped reward the mean accuracy. ω = 1 is Hard-Focused with
    γ = 0.5, ω = 0 Easy-Focused.

    >>> from agrae_lab.advantages import make
    >>> make("a_grae_sample_only")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 1.3660, -0.4553, -0.4553, -0.4553],
            [ 0.4553,  0.4553,  0.4553, -1.3660]])
    """

    easy_form: EasyForm = "sqrt_of_failure"

    OFFICIAL: ClassVar = {"easy_form": "one_minus_sqrt"}
    BREAKS: ClassVar = frozenset({"shift_invariant", "groups_independent"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        correctness_PG = context.correctness(rewards_PG)
        p_P1 = success_rate(correctness_PG)
        omega = batch_mean(correctness_PG) if context.omega is None else context.omega
        weight_P1 = 0.5 * omega / p_P1.sqrt() + 0.5 * (1 - omega) / easy_divisor(p_P1, self.easy_form)
        return advantages_PG * torch.where(is_mixed(p_P1), weight_P1, 1.0)
