"""Dr.GRPO's advantage: reward against its group, undivided."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred


@link("base", "dr_grpo")
@dataclass(frozen=True)
class DrGRPO(Link):
    """Take out GRPO's bias by difficulty: no division by the group's standard deviation.

    A = r − mean(r)   (arXiv 2503.20783; its loss also divides by a constant length: loss=dr_grpo).

    All rewards equal: 0.

    >>> from agrae_lab.advantages import make
    >>> make("dr_grpo")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.7500, -0.2500, -0.2500, -0.2500]])
    """

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return centred(rewards_PG)
