"""Pass@k by the best completion alone, against the second best."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO, Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, num_valid, quotient, std_of


@link("base", "grpo_passk")
@dataclass(frozen=True)
class GRPOPassK(Link):
    """Optimise the best of k completions, k being the group's size.

    A = (r₍₁₎ − r₍₂₎) / (std(r) + ε) for the best completion, 0 for all others   (arXiv 2503.19595; verl's
    grpo_passk).

    r₍₁₎ and r₍₂₎ are the two largest rewards. For 0/1 rewards A is other than 0 only if exactly one completion is
    correct. The official flavor has verl's ddof and ε.
    Two equally good best completions, all rewards equal, a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> make("grpo_passk")(Tensor([[1, 0, 0, 0], [1, 1, 0, 0]]))
    tensor([[2.3094, 0.0000, 0.0000, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.0000]])
    """

    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    TRL: ClassVar = GRPO.TRL
    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n = num_valid(rewards_PG)
        best, second = rewards_PG.nan_to_num(nan=-torch.inf).topk(2, dim=1).values.split(1, dim=1)
        lead = torch.where(n > 1, best - second, 0.0)
        scale = std_of(centred(rewards_PG), n, ddof=self.ddof) + self.epsilon
        return torch.where(rewards_PG == best, quotient(lead, scale), 0.0)
