"""DDAS, the dynamic difficulty attention shift: from easy prompts to hard ones as training goes well."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.sample.easy_focused import check_form, easy_divisor
from agrae_lab.advantages.statistics import batch_mean, is_mixed, success_rate


@link("sample", "dynamic")
@dataclass(frozen=True)
class Dynamic:
    """A* = (ω/2) · A/√p + ((1−ω)/2) · A/√(1−p) where 0 < p < 1, else A   (DDAS, Eq. 12).

    ω is the mean reward of the batch (Eq. 11), of a shaped reward the mean accuracy. ω = 1 is Hard-Focused with
    γ = 0.5, ω = 0 Easy-Focused.
    easy_form: as in Easy-Focused; the authors' code has 1 − √p + 1e-6 in place of √(1−p).
    """

    easy_form: str = "sqrt_of_failure"

    OFFICIAL: ClassVar = {"easy_form": "one_minus_sqrt"}
    BREAKS: ClassVar = frozenset({"shift_invariant", "groups_independent"})

    def __post_init__(self) -> None:
        check_form(self.easy_form)

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        accuracy_PG = context.accuracy(rewards_PG)
        p_P1 = success_rate(accuracy_PG)
        omega = batch_mean(accuracy_PG) if context.omega is None else context.omega
        weight_P1 = 0.5 * omega / p_P1.sqrt() + 0.5 * (1 - omega) / easy_divisor(p_P1, self.easy_form)
        return advantages_PG * torch.where(is_mixed(p_P1), weight_P1, 1.0)
