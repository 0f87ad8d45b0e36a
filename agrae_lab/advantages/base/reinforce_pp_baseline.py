"""REINFORCE++-baseline: reward against its group, whitened over the batch's tokens."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, whitened


@link("base", "reinforce_pp_baseline")
@dataclass(frozen=True)
class ReinforcePPBaseline(Link):
    """Combine the group's baseline with a scale that is stable over the batch.

    A = (c − mean_tok(c)) / √(var_tok(c) + 1e-8), c = r − mean(r)   (arXiv 2501.03262; verl's
    reinforce_plus_plus_baseline).

    mean_tok and var_tok (unbiased) run over all tokens of the batch, each with its completion's c. With equal lengths
    mean_tok(c) = 0 and this is Lite PPO up to a constant. With unequal ones it is not 0: then a group whose rewards
    are all equal gets −mean_tok(c)/√var_tok(c), the same for all of its completions, and so does a lone valid one.
    A batch without any mixed group: 0.

    >>> from agrae_lab.advantages import make
    >>> make("reinforce_pp_baseline")(Tensor([[1, 0], [0, 0]]), Context(lengths_PG=Tensor([[2, 2], [2, 2]])))
    tensor([[ 1.3229, -1.3229],
            [ 0.0000,  0.0000]])
    """

    MIN_GROUP_SIZE: ClassVar = 2
    REQUIRES: ClassVar = frozenset({"lengths"})
    LAWS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.lengths_PG is not None
        deviations_PG = centred(rewards_PG).masked_fill(rewards_PG.isnan(), float("nan"))  # invalid: no tokens
        return whitened(deviations_PG, context.lengths_PG)
