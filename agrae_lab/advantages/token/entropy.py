"""The entropy advantage: tokens on which the policy was unsure count for more."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above, at_least


@link("token", "entropy")
@dataclass(frozen=True)
class EntropyAdvantage(Link):
    """Encourage long, exploratory reasoning: a bonus on tokens of high entropy.

    A*_t = A + min(α·H_t, |A|/κ), H_t the entropy at token t in nats   (arXiv 2506.14758).

    Correct completions are pushed up most where the policy was unsure, incorrect ones down least there. κ > 1 keeps
    the sign of A, so that A = 0 stays 0.
    Padding gets 0. It computes a value for every token, and so costs T times what a value a completion costs.

    >>> from agrae_lab.advantages import make
    >>> context = Context(entropies_PGT=Tensor([[[0.1, 2], [0.1, 2]]]), mask_PGT=torch.ones(1, 2, 2))
    >>> make("entropy_advantage")(Tensor([[1, 0]]), context)
    tensor([[[ 1.0400,  1.5000],
             [-0.9600, -0.5000]]])
    """

    alpha: Annotated[
        float,
        at_least(0),
        "α, the weight of the entropy; arXiv 2506.14758 has 0.4 for GRPO and 0.1 for PPO, and 0 leaves A as it is",
    ] = 0.4
    kappa: Annotated[float, above(1), "κ, the bonus is at most |A|/κ; arXiv 2506.14758 has 2"] = 2.0

    REQUIRES: ClassVar = frozenset({"entropies"})
    BREAKS: ClassVar = frozenset({"zero_sum"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.entropies_PGT is not None
        assert context.mask_PGT is not None
        advantages_PG1 = advantages_PG[..., None]
        bonus_PGT = (self.alpha * context.entropies_PGT.to(advantages_PG)).minimum(advantages_PG1.abs() / self.kappa)
        return torch.where(context.mask_PGT > 0, advantages_PG1 + bonus_PGT, 0.0)
