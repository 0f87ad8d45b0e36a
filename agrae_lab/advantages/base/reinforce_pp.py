"""REINFORCE++: the reward, whitened over the tokens of the batch; no group."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import whitened


@link("base", "reinforce_pp")
@dataclass(frozen=True)
class ReinforcePP(Link):
    """Train without groups: the batch is the baseline, and one completion of a prompt is enough.

    A = (r − mean_tok(r)) / √(var_tok(r) + 1e-8)   (arXiv 2501.03262; verl's reinforce_plus_plus, γ = 1).

    mean_tok and var_tok (unbiased) count a completion as often as it has tokens, hence the lengths. Nothing is
    compared within the group, so all-correct and all-incorrect groups keep their ±, and G = 1 works. A KL penalty, if
    there is one, belongs into the rewards. A batch whose rewards are all equal: 0.

    >>> from agrae_lab.advantages import make
    >>> make("reinforce_pp")(Tensor([[1, 0], [0, 0]]), Context(lengths_PG=Tensor([[2, 2], [2, 2]])))
    tensor([[ 1.6202, -0.5401],
            [-0.5401, -0.5401]])
    """

    REQUIRES: ClassVar = frozenset({"lengths"})
    LAWS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.lengths_PG is not None
        return whitened(rewards_PG, context.lengths_PG)
