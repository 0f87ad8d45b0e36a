"""Zero: no advantage at all, a control."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link


@link("base", "zero")
@dataclass(frozen=True)
class Zero(Link):
    """Train without a policy gradient, as a control: only weight decay, KL or an entropy bonus move the weights.

    A = 0   (a control, beside the random rewards of arXiv 2506.10947).

    A difference that this arm shows as well is not the work of any advantage.

    >>> from agrae_lab.advantages import make
    >>> make("zero")(Tensor([[1, 0, 0, 0]]))
    tensor([[0., 0., 0., 0.]])
    """

    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return torch.zeros_like(rewards_PG)
