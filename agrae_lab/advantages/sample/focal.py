"""F-GRPO's focal weight: prompts count less the more often they are solved."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import success_rate


@link("sample", "focal")
@dataclass(frozen=True)
class Focal(Link):
    """Keep solved prompts from crowding out rare correct answers.

    A* = (1−p)^γ · A   (F-GRPO, arXiv 2602.06717).

    p = 0: A* = A; p = 1: 0. Rewards must lie in [0, 1]. The update mass shrinks with γ as well: compare with
    `match=l1`, as the paper does with a matched learning rate.

    >>> from agrae_lab.advantages import make
    >>> make("f_grpo")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 1.5000, -0.5000, -0.5000, -0.5000],
            [ 0.2887,  0.2887,  0.2887, -0.8660]])
    """

    gamma: Annotated[
        float, at_least(0), "γ, the exponent; arXiv 2602.06717 has 0.5 and tries 1 and 2, and 0 leaves A as it is"
    ] = 0.5

    BREAKS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.correctness(rewards_PG))
        return advantages_PG * (1 - p_P1).clamp(min=0).pow(self.gamma)
