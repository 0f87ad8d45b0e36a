"""DS-GRPO's differential smoothing: likely successes count less, likely failures are held against the policy more."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import is_correct, mean_over_tokens


@link("group", "differential_smoothing")
@dataclass(frozen=True)
class DifferentialSmoothing:
    """A* = A − γ⁺·ℓ if correct, A + γ⁻·ℓ if not, ℓ the completion's mean token log-probability   (DS-GRPO, arXiv
    2511.19942, Eq. 6; tajwarfahim/maxrl:verl/trainer/ppo/core_algos.py, compute_dsgrpo_outcome_advantage).

    ℓ ≤ 0, so that correct completions are pushed up and incorrect ones down, the unlikely ones most. The equation has
    the log-probability of the whole completion, the code its mean, as here.
    positive_weight, negative_weight: γ⁺ and γ⁻, not negative; 0.05 and 0.05 in the code. 0 and 0 leave A as it is.
    It holds in every group, also where all are correct or incorrect. Undecided completions keep their 0.
    """

    positive_weight: float = 0.05
    negative_weight: float = 0.05

    REQUIRES: ClassVar = frozenset({"logprobs"})
    BREAKS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving", "shift_invariant"})

    def __post_init__(self) -> None:
        for field in ("positive_weight", "negative_weight"):
            if not 0 <= (value := getattr(self, field)) < math.inf:
                raise ValueError(
                    f"advantage.group.{field} must not be negative (the code of arXiv 2511.19942 has 0.05), got {value}"
                )

    def __call__(self, advantages_PG: Tensor, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.logprobs_PGT is not None
        assert context.mask_PGT is not None
        logprob_PG = mean_over_tokens(context.logprobs_PGT, context.mask_PGT).to(advantages_PG)
        is_correct_PG = is_correct(context.accuracy(rewards_PG))
        weight_PG = torch.where(is_correct_PG, -self.positive_weight, self.negative_weight)
        return advantages_PG + torch.where(rewards_PG.isnan(), 0.0, weight_PG * logprob_PG)
