"""Easy-Focused: prompts count more the more often they are solved."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above, one_of
from agrae_lab.advantages.statistics import is_mixed, success_rate

EPSILON = 1e-6  # in the authors' code
EasyForm = Annotated[
    str,
    one_of("sqrt_of_failure", "one_minus_sqrt"),
    "divisor of A: √(1−p), or 1 − √p + 1e-6 as in the easy term of the authors' A-GRAE code",
]


def easy_divisor(p_P1: Tensor, form: str) -> Tensor:
    """Return the divisor of the advantages of a prompt with success rate p, [P, 1].

    sqrt_of_failure: √(1−p), the paper's text. one_minus_sqrt: 1 − √p + 1e-6, the authors' code.
    """
    return (1 - p_P1).sqrt() if form == "sqrt_of_failure" else 1 - p_P1.sqrt() + EPSILON


@link("sample", "easy_focused")
@dataclass(frozen=True)
class EasyFocused(Link):
    """Test the attention to easy prompts by itself.

    A* = γ · A / √(1−p) where 0 < p < 1, else A   (Table 1b; γ = 0.5).

    On GRAE (ddof 0): Σ|A*| = 2γ·G·√p.

    >>> from agrae_lab.advantages import make
    >>> make("easy_focused")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333],
            [ 0.5774,  0.5774,  0.5774, -1.7321]])
    """

    gamma: Annotated[float, above(0), "γ, the factor on all weights; the paper has 0.5"] = 0.5
    easy_form: EasyForm = "sqrt_of_failure"

    OFFICIAL: ClassVar = {"easy_form": "one_minus_sqrt"}
    BREAKS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.correctness(rewards_PG))
        return advantages_PG * torch.where(is_mixed(p_P1), self.gamma / easy_divisor(p_P1, self.easy_form), 1.0)
