"""RLOO's advantage: reward against the mean of the other completions."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, num_valid


@link("base", "rloo")
@dataclass(frozen=True)
class RLOO(Link):
    """Estimate the policy gradient without bias: the baseline leaves the completion itself out.

    A_i = r_i − mean_{j≠i}(r_j) = n/(n−1) · (r_i − mean(r))   (arXiv 2402.14740), n the valid completions.

    n/(n−1) times Dr.GRPO. All rewards equal: 0. A lone valid completion has no others to compare with: 0.

    >>> from agrae_lab.advantages import make
    >>> make("rloo")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333]])
    """

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n = num_valid(rewards_PG).to(rewards_PG)  # whole numbers would be divided in float32
        return centred(rewards_PG) * (n / (n - 1).clamp(min=1))
