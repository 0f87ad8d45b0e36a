"""RED-Drop: surplus failures dropped at random, so that a group has as many as successes."""

import random
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, whole_from
from agrae_lab.advantages.statistics import centred

ROUNDING = 1e-6  # of the mean: a reward equal to it stays on the positive side, as without rounding


@link("base", "red_drop")
@dataclass(frozen=True)
class REDDrop(Link):
    """Balance the data off policy: keep failures from outnumbering successes.

    A = r − mean_kept(r) for a kept completion, 0 for a dropped one   (RED-Drop, arXiv 2509.24203;
    agentscope-ai/Trinity-RFT:trinity/algorithm/advantage_fn/rec_advantage.py, drop="balance").

    A completion is positive if r ≥ mean(r). Where the negatives are more, as many as the surplus are drawn at random
    and dropped; the mean is then taken again, over the kept. Without a surplus: Dr.GRPO.
    The draw depends on `seed`, the number of the batch and the prompt's row in it, and on nothing else, so that a
    resumed run drops the same completions. All rewards equal, a lone valid completion: 0.
    State: the number of batches.

    >>> from agrae_lab.advantages import make
    >>> make("red_drop")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 0.5000,  0.0000,  0.0000, -0.5000],
            [ 0.2500,  0.2500,  0.2500, -0.7500]])
    """

    seed: Annotated[int, whole_from(0), "the seed of the draws"] = 0

    MIN_GROUP_SIZE: ClassVar = 2
    STATEFUL: ClassVar = True
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum"})
    BREAKS: ClassVar = frozenset({"permutation_equivariant"})

    def __call__(self, rewards_PG: Tensor, context: Context, state: int | None) -> tuple[Tensor, int]:
        num_batches = state or 0
        deviations, is_valid = centred(rewards_PG), ~rewards_PG.isnan()
        is_positive = is_valid & (deviations >= -ROUNDING)
        is_negative = is_valid & ~is_positive
        is_dropped = torch.zeros_like(is_valid)
        surplus = (is_negative.sum(dim=1) - is_positive.sum(dim=1)).tolist()
        for row, num_dropped in enumerate(surplus):
            if num_dropped > 0:
                stream = random.Random(f"{self.seed} {num_batches} {row}")
                places = is_negative[row].nonzero().flatten().tolist()
                is_dropped[row, stream.sample(places, num_dropped)] = True
        kept_PG = rewards_PG.masked_fill(is_dropped, torch.nan)
        return centred(kept_PG), num_batches + 1
