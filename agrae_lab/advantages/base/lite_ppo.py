"""Lite PPO's advantage: reward against its group, over the batch's standard deviation."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO, Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, quotient, std_of


@link("base", "lite_ppo")
@dataclass(frozen=True)
class LitePPO(Link):
    """Scale advantages by the whole batch, which spares groups of small variance from large weights.

    A = (r − mean(r)) / (std_batch(r) + ε)   (arXiv 2508.08221; TRL's scale_rewards="batch").

    The standard deviation is of all valid rewards of the batch, about their own mean: a multiple of Dr.GRPO, in which a
    prompt counts the more the closer its p is to 1/2.
    A group whose rewards are all equal, or with a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> make("lite_ppo")(Tensor([[1, 0, 0, 0], [1, 1, 1, 1]]))
    tensor([[ 1.5492, -0.5164, -0.5164, -0.5164],
            [ 0.0000,  0.0000,  0.0000,  0.0000]])
    """

    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    TRL: ClassVar = GRPO.TRL
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        batch = rewards_PG.reshape(1, -1)  # all of it as one group
        scale = std_of(centred(batch), (~batch.isnan()).sum(dim=1, keepdim=True), ddof=self.ddof)
        return quotient(centred(rewards_PG), scale + self.epsilon)
