"""Dr.GRPO's advantage: reward against its group, not divided by anything."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred


@link("base", "dr_grpo")
@dataclass(frozen=True)
class DrGRPO:
    """A = r − mean(r)   (arXiv 2503.20783; its loss also divides by a constant length: loss=dr_grpo).

    All rewards equal: 0.
    """

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return centred(rewards_PG)
