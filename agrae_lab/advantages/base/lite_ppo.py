"""Lite PPO's advantage: reward against its group, in units of the batch's standard deviation."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, quotient, std_of


@link("base", "lite_ppo")
@dataclass(frozen=True)
class LitePPO:
    """A = (r − mean(r)) / (std_batch(r) + ε)   (arXiv 2508.08221; TRL's scale_rewards="batch").

    The standard deviation is of all decided rewards of the batch, about their own mean, so that a prompt counts the
    more the closer its p is to 1/2, as with Dr.GRPO, of which this is a multiple.
    ddof, epsilon: as in GRPO, 0 and 0; TRL has 1 and 1e-4.
    A group whose rewards are all equal, or with a lone decided completion: 0.
    """

    ddof: int = 0
    epsilon: float = 0.0

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving"})

    def __post_init__(self) -> None:
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        batch = rewards_PG.reshape(1, -1)  # all of it as one group
        scale = std_of(centred(batch), (~batch.isnan()).sum(dim=1, keepdim=True), ddof=self.ddof)
        return quotient(centred(rewards_PG), scale + self.epsilon)
