"""AsymRE: a baseline a little below the group's mean."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred


@link("base", "asym_re")
@dataclass(frozen=True)
class AsymRE(Link):
    """Favour correct completions in off-policy training.

    A = r − (mean(r) + δ)   (arXiv 2506.20520;
    modelscope/Trinity-RFT:trinity/algorithm/advantage_fn/asymre_advantage.py).

    All rewards equal, a lone valid completion: −δ (the code gives the reward itself to a group of one).

    >>> from agrae_lab.advantages import make
    >>> make("asym_re")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.8500, -0.1500, -0.1500, -0.1500]])
    """

    shift: Annotated[float, "δ, the shift of the baseline; arXiv 2506.20520 recommends −0.1, and 0 is Dr.GRPO"] = -0.1

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"shift_invariant", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        return torch.where(rewards_PG.isnan(), 0.0, centred(rewards_PG) - self.shift)
