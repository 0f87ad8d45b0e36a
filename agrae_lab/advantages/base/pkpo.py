"""PKPO: an unbiased gradient of Pass@k, with the other completions as baseline."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import all_incorrect_chance, is_correct, num_correct, num_valid


@link("base", "pkpo")
@dataclass(frozen=True)
class PKPO:
    """A_i = s_i − mean_{j≠i}(s_j), s = k/n if correct, (k/n)·(1 − C(n−1−c, k−1)/C(n−1, k−1)) if not   (arXiv
    2505.15201).

    c is the number of correct among the n decided completions. In closed form, with v the quotient of binomials and
    y = 1 if correct, 0 if not: A = k/(n−1) · v · (y − c/n).
    k: a whole number from 1; the group must be larger. k = 1 is RLOO over n: the paper sums over a group, so that all
    is smaller than GRPO by about n/k (`match=l1` takes that out).
    This is the paper's s with the plain leave-one-out baseline, not its "LOO−1" one. The pkpo in tajwarfahim/maxrl has
    s = v·r, another estimator.
    c = 0, c = n, c > n − k, a lone decided completion: 0. Of a shaped reward accuracy alone counts.
    """

    k: int = 4

    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "groups_independent"})

    def __post_init__(self) -> None:
        if not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"advantage.base.k must be a whole number from 1 (k of arXiv 2505.15201), got {self.k}")

    @property
    def MIN_GROUP_SIZE(self) -> int:
        return self.k + 1

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        accuracy_PG = context.accuracy(rewards_PG)
        n, c = num_valid(accuracy_PG).double(), num_correct(accuracy_PG)
        v = all_incorrect_chance(self.k - 1, num_incorrect=n - 1 - c, num_total=n - 1)
        weight = self.k * v / (n - 1).clamp(min=1)
        return (weight * (is_correct(accuracy_PG).double() - c / n.clamp(min=1))).to(rewards_PG)
