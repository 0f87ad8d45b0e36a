"""Hard-Focused: prompts count more the less often they are solved."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above
from agrae_lab.advantages.statistics import is_mixed, success_rate


@link("sample", "hard_focused")
@dataclass(frozen=True)
class HardFocused(Link):
    """Test the attention to hard prompts by itself.

    A* = γ · A / √p where 0 < p < 1, else A   (Table 1b; γ = 0.5).

    On GRAE (ddof 0): Σ|A*| = 2γ·G·√(1−p), so that the update mass falls with p instead of peaking at 1/2.

    >>> from agrae_lab.advantages import make
    >>> make("hard_focused")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 1.7321, -0.5774, -0.5774, -0.5774],
            [ 0.3333,  0.3333,  0.3333, -1.0000]])
    """

    gamma: Annotated[float, above(0), "γ, the factor on all weights; the paper has 0.5"] = 0.5

    BREAKS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.correctness(rewards_PG))
        return advantages_PG * torch.where(is_mixed(p_P1), self.gamma / p_P1.sqrt(), 1.0)
