"""The unlikeliness reward: GRPO on rewards that are the smaller the likelier a correct completion was."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import mean_over_tokens, num_valid


@link("base", "unlikeliness")
@dataclass(frozen=True)
class Unlikeliness:
    """A = (s − mean(s)) / (std(s) + ε), s = r · (1 − β·rank/n)   (arXiv 2506.02355;
    AndreHe02/rewarding-unlikely-release:verl/trainer/ppo/ray_lean_trainer.py, _compute_advantages).

    rank is how many of the group's n decided completions had a smaller mean token log-probability; equally likely ones
    share it (the code puts them in order). An incorrect completion has s = 0 whatever its rank; of a shaped reward it
    keeps its r.
    penalty: β, from 0 to 1; 0.25 in the authors' script. β = 0 is GRPO.
    ddof, epsilon: as in GRPO, 0 and 0; the authors' code has 1 and 1e-6.
    All correct: the likely half is pushed down. All incorrect, a lone decided completion: 0.
    """

    penalty: float = 0.25
    ddof: int = 0
    epsilon: float = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    MIN_GROUP_SIZE: ClassVar = 2
    REQUIRES: ClassVar = frozenset({"logprobs"})
    LAWS: ClassVar = frozenset({"zero_sum", "groups_independent"})

    def __post_init__(self) -> None:
        if not 0 <= self.penalty <= 1:
            raise ValueError(
                f"advantage.base.penalty must be from 0 to 1 (arXiv 2506.02355 has 0.25), got {self.penalty}"
            )
        GRPO(ddof=self.ddof, epsilon=self.epsilon)  # refuses what GRPO refuses

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.logprobs_PGT is not None
        assert context.mask_PGT is not None
        logprobs_PG = mean_over_tokens(context.logprobs_PGT, context.mask_PGT)
        logprobs_PG = logprobs_PG.masked_fill(rewards_PG.isnan(), torch.inf)  # above all that are ranked
        ranks_PG = torch.searchsorted(logprobs_PG.sort(dim=1).values, logprobs_PG)
        shares_PG = ranks_PG.to(rewards_PG) / num_valid(rewards_PG).clamp(min=1)
        is_success = context.accuracy(rewards_PG) != 0
        shrunk_PG = torch.where(is_success, rewards_PG * (1 - self.penalty * shares_PG), rewards_PG)
        return GRPO(ddof=self.ddof, epsilon=self.epsilon)(shrunk_PG, context)
