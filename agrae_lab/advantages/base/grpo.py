"""GRPO's advantage: reward against its group, over the group's standard deviation."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least, one_of
from agrae_lab.advantages.statistics import centred, num_valid, std_of

Ddof = Annotated[
    int,
    one_of(0, 1),
    "the standard deviation divides by n − ddof; 0 in the paper's proofs, 1 in the authors' code, verl and TRL",
]
Epsilon = Annotated[
    float,
    at_least(0),
    "ε, added to the standard deviation; 0 in the paper, 1e-6 in the authors' code and verl, 1e-4 in TRL",
]


@link("base", "grpo")
@dataclass(frozen=True)
class GRPO(Link):
    """Compare each completion with the others of its prompt: the common baseline of this family.

    A = (r − mean(r)) / (std(r) + ε)   (group relative advantage estimation, Eq. 3; arXiv 2402.03300).

    For 0/1 rewards and ddof 0: A = √((1−p)/p) if r = 1, −√(p/(1−p)) if r = 0. All rewards equal: 0.
    Reduces to Dr.GRPO without the division. G = 1 is refused (the authors' code gives the reward itself there).

    >>> from agrae_lab.advantages import make
    >>> make("grpo")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 1.7321, -0.5774, -0.5774, -0.5774]])
    >>> make("grpo", flavor="official")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 1.5000, -0.5000, -0.5000, -0.5000]])
    >>> make("grpo", flavor="trl")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 1.4997, -0.4999, -0.4999, -0.4999]])
    """

    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = {"ddof": 1, "epsilon": 1e-6}
    TRL: ClassVar = {"ddof": 1, "epsilon": 1e-4}
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        deviations = centred(rewards_PG)
        scale = std_of(deviations, num_valid(rewards_PG), ddof=self.ddof) + self.epsilon
        return deviations / scale.masked_fill(scale == 0, 1.0)  # all equal: the deviations are 0 too
