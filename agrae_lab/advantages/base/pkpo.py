"""PKPO: an unbiased gradient of Pass@k, with the other completions as baseline."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, whole_from
from agrae_lab.advantages.statistics import all_incorrect_chance, is_correct, num_correct, num_valid


@link("base", "pkpo")
@dataclass(frozen=True)
class PKPO(Link):
    """Optimise Pass@k without bias.

    A_i = s_i − mean_{j≠i}(s_j), s = k/n if correct, (k/n)·(1 − C(n−1−c, k−1)/C(n−1, k−1)) if not   (arXiv
    2505.15201).

    c is the number of correct among the n valid completions. In closed form, with v the quotient of binomials and
    y = 1 if correct, 0 if not: A = k/(n−1) · v · (y − c/n).
    k = 1 is RLOO over n: the paper sums over a group, so that all is smaller than GRPO by about n/k (`match=l1` takes
    that out).
    This is the paper's s with the plain leave-one-out baseline, not its "LOO−1" one. The pkpo in tajwarfahim/maxrl has
    s = v·r, another estimator.
    c = 0, c = n, c > n − k, a lone valid completion: 0. Of a shaped reward accuracy alone counts.

    >>> from agrae_lab.advantages import make
    >>> make("pkpo", k=2)(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.3333, -0.1111, -0.1111, -0.1111]])
    """

    k: Annotated[int, whole_from(1), "k of Pass@k (arXiv 2505.15201); the group must be larger"] = 4

    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "groups_independent"})

    @property
    def MIN_GROUP_SIZE(self) -> int:
        return self.k + 1

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        correctness_PG = context.correctness(rewards_PG)
        n, c = num_valid(correctness_PG).double(), num_correct(correctness_PG)
        v = all_incorrect_chance(self.k - 1, num_incorrect=n - 1 - c, num_total=n - 1)
        weight = self.k * v / (n - 1).clamp(min=1)
        return (weight * (is_correct(correctness_PG).double() - c / n.clamp(min=1))).to(rewards_PG)
