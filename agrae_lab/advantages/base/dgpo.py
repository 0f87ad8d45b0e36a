"""DGPO's advantage: reward against its group, over the group's mean absolute deviation."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import centred, num_valid, quotient


@link("base", "dgpo")
@dataclass(frozen=True)
class DGPO(Link):
    """Give every mixed group the same update mass, however hard its prompt.

    A = n · (r − mean(r)) / (Σ_j|r_j − mean(r)| + ε)   (difficulty-balanced group advantage of MathForge, arXiv
    2601.20614; AMAP-ML/MathForge:trl-0.20.0/trl/trainer/grpo_trainer.py).

    n is the number of valid completions. Σ|A| = n in every mixed group, where GRPO's peaks at p = 1/2. For 0/1 rewards:
    1/(2p) if r = 1, −1/(2(1−p)) if r = 0; Dr.GRPO over 2p(1−p). The authors' code also scales by lengths, which is not
    done here.
    All rewards equal, a lone valid completion: 0. The preset `dgpo` has the weights by difficulty as well.

    >>> from agrae_lab.advantages import make
    >>> make("dgpo", sample="none")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 2.0000, -0.6667, -0.6667, -0.6667]])
    """

    epsilon: Annotated[float, at_least(0), "ε, added to the divisor; 0 in arXiv 2601.20614, 1e-4 in its code"] = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-4}
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        deviations = centred(rewards_PG)
        extent = deviations.abs().sum(dim=1, keepdim=True) + self.epsilon
        return quotient(num_valid(rewards_PG) * deviations, extent)
