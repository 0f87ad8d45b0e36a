"""PRPO: rewards standardised over the batch; no group."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import centred, quotient, std_of


@link("base", "prpo")
@dataclass(frozen=True)
class PRPO(Link):
    """Compare all completions of a batch, whatever their prompt: a single completion of each is enough.

    A = (r − mean_batch(r)) / (std_batch(r) + ε)   (rllm-org/rllm:rllm/trainer/algorithms/advantage.py,
    calculate_prpo_advantages).

    The standard deviation is the population's, over completions: REINFORCE++ counts tokens in their place, and is the
    same for completions of one length but for ε. An easy prompt's failures weigh as much as a hard one's.
    A batch whose rewards are all equal: 0.

    >>> from agrae_lab.advantages import make
    >>> make("prpo")(Tensor([[1, 0, 0, 0], [1, 1, 1, 1]]))
    tensor([[ 0.7746, -1.2910, -1.2910, -1.2910],
            [ 0.7746,  0.7746,  0.7746,  0.7746]])
    """

    epsilon: Annotated[float, at_least(0), "ε, added to the standard deviation; 1e-6 in rllm"] = 1e-6

    LAWS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        batch = rewards_PG.reshape(1, -1)  # all of it as one group
        deviations = centred(batch)
        std = std_of(deviations, (~batch.isnan()).sum(dim=1, keepdim=True), ddof=0)
        return quotient(deviations, std + self.epsilon).view_as(rewards_PG)
