"""The unlikeliness reward: GRPO on rewards that are the smaller the likelier a success was."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.base.grpo import GRPO, Ddof, Epsilon
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least, at_most
from agrae_lab.advantages.statistics import mean_over_tokens, num_valid


@link("base", "unlikeliness")
@dataclass(frozen=True)
class Unlikeliness(Link):
    """Reinforce rare correct completions more than likely ones.

    A = (s − mean(s)) / (std(s) + ε), s = r · (1 − β·rank/n)   (arXiv 2506.02355;
    AndreHe02/rewarding-unlikely-release:verl/trainer/ppo/ray_lean_trainer.py, _compute_advantages).

    rank is the number of the group's n valid completions with a smaller mean token log-probability; equally likely ones
    share it (the code puts them in order). An incorrect completion has s = 0 whatever its rank; of a shaped reward it
    keeps its r.
    All correct: the likely half is pushed down. All incorrect, a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> context = Context(logprobs_PGT=Tensor([[[-1], [-2], [-3], [-4]]]), mask_PGT=torch.ones(1, 4, 1))
    >>> make("unlikeliness")(Tensor([[1, 1, 0, 0]]), context)
    tensor([[ 0.9247,  1.0726, -0.9986, -0.9986]])
    """

    penalty: Annotated[
        float,
        at_least(0),
        at_most(1),
        "β, the share that the likeliest success loses; 0.25 in the script of arXiv 2506.02355, and 0 is GRPO",
    ] = 0.25
    ddof: Ddof = 0
    epsilon: Epsilon = 0.0

    OFFICIAL: ClassVar = GRPO.OFFICIAL
    TRL: ClassVar = GRPO.TRL
    MIN_GROUP_SIZE: ClassVar = 2
    REQUIRES: ClassVar = frozenset({"logprobs"})
    LAWS: ClassVar = frozenset({"zero_sum", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        assert context.logprobs_PGT is not None
        assert context.mask_PGT is not None
        logprobs_PG = mean_over_tokens(context.logprobs_PGT, context.mask_PGT)
        logprobs_PG = logprobs_PG.masked_fill(rewards_PG.isnan(), torch.inf)  # above all that are ranked
        ranks_PG = torch.searchsorted(logprobs_PG.sort(dim=1).values, logprobs_PG)
        shares_PG = ranks_PG.to(rewards_PG) / num_valid(rewards_PG).clamp(min=1)
        is_success = context.correctness(rewards_PG) != 0
        shrunk_PG = torch.where(is_success, rewards_PG * (1 - self.penalty * shares_PG), rewards_PG)
        return GRPO(ddof=self.ddof, epsilon=self.epsilon)(shrunk_PG, context)
