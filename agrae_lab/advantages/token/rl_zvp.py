"""RL-ZVP: prompts that are always or never solved, learned from token by token."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import is_correct, is_tied


@link("token", "rl_zvp")
@dataclass(frozen=True)
class ZeroVariancePrompts(Link):
    """Learn from prompts that are always or never solved too.

    A*_t = α·H_t in an all-correct group, −α·(max_s H_s − H_t) in an all-incorrect one, A elsewhere   (RL-ZVP, arXiv
    2509.21880).

    H_t is the entropy at token t in nats, the maximum over the tokens of the same completion. Several public
    re-implementations agree on the formula; the authors' code was not found.
    α = 0 leaves A as it is where A is 0 on ties, as GRPO's is.
    Of a shaped reward, such a group is one whose rewards are all equal, correct or incorrect by accuracy.
    A lone valid completion is such a group by itself. Invalid completions and padding get 0. It computes a value
    for every token, and so costs T times what a value a completion costs.

    >>> from agrae_lab.advantages import make
    >>> context = Context(entropies_PGT=Tensor([[[0.5, 1], [0.5, 1]]]), mask_PGT=torch.ones(1, 2, 2))
    >>> make("rl_zvp")(Tensor([[1, 1]]), context)
    tensor([[[0.0500, 0.1000],
             [0.0500, 0.1000]]])
    """

    alpha: Annotated[
        float, at_least(0), "α, the weight of the entropy; 0.1 in re-implementations of arXiv 2509.21880"
    ] = 0.1

    REQUIRES: ClassVar = frozenset({"entropies"})
    BREAKS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.entropies_PGT is not None
        assert context.mask_PGT is not None
        is_token = context.mask_PGT > 0
        entropies_PGT = context.entropies_PGT.to(advantages_PG).masked_fill(~is_token, 0.0)
        shortfall_PGT = entropies_PGT.amax(dim=2, keepdim=True) - entropies_PGT
        is_correct_PG = is_correct(context.correctness(rewards_PG))
        signal_PGT = self.alpha * torch.where(is_correct_PG[..., None], entropies_PGT, -shortfall_PGT)
        advantages_PGT = torch.where(is_tied(rewards_PG)[..., None], signal_PGT, advantages_PG[..., None])
        return torch.where(is_token & ~rewards_PG.isnan()[..., None], advantages_PGT, 0.0)
