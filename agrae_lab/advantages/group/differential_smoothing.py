"""DS-GRPO's differential smoothing: likely successes count less, likely failures more."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import is_correct, mean_over_tokens


@link("group", "differential_smoothing")
@dataclass(frozen=True)
class DifferentialSmoothing(Link):
    """Spread probability over correct completions and take it from the likeliest incorrect ones.

    A* = A − γ⁺·ℓ if correct, A + γ⁻·ℓ if not, ℓ the completion's mean token log-probability   (DS-GRPO, arXiv
    2511.19942, Eq. 6; tajwarfahim/maxrl:verl/trainer/ppo/core_algos.py, compute_dsgrpo_outcome_advantage).

    ℓ ≤ 0, so that correct completions are pushed up and incorrect ones down, the unlikely ones most. The equation has
    the log-probability of the whole completion, the code its mean, as here. γ⁺ = γ⁻ = 0 leaves A as it is.
    It holds in every group, also where all are correct or incorrect. Invalid completions keep their 0.

    >>> from agrae_lab.advantages import make
    >>> context = Context(logprobs_PGT=Tensor([[[-1], [-2], [-1], [-2]]]), mask_PGT=torch.ones(1, 4, 1))
    >>> make("ds_grpo")(Tensor([[1, 1, 0, 0]]), context)
    tensor([[ 1.0500,  1.1000, -1.0500, -1.1000]])
    """

    positive_weight: Annotated[
        float, at_least(0), "γ⁺, the weight of ℓ for correct completions; 0.05 in the code of arXiv 2511.19942"
    ] = 0.05
    negative_weight: Annotated[
        float, at_least(0), "γ⁻, the weight of ℓ for incorrect completions; 0.05 in the code of arXiv 2511.19942"
    ] = 0.05

    REQUIRES: ClassVar = frozenset({"logprobs"})
    BREAKS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "shift_invariant"})

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.logprobs_PGT is not None
        assert context.mask_PGT is not None
        logprob_PG = mean_over_tokens(context.logprobs_PGT, context.mask_PGT).to(advantages_PG)
        is_correct_PG = is_correct(context.correctness(rewards_PG))
        weight_PG = torch.where(is_correct_PG, -self.positive_weight, self.negative_weight)
        return advantages_PG + torch.where(rewards_PG.isnan(), 0.0, weight_PG * logprob_PG)
