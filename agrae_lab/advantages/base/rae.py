"""RAE: the reward against a moving average of all rewards before it; no group."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least, below


@link("base", "rae")
@dataclass(frozen=True)
class RAE(Link):
    """Train without groups: the policy's own record is the baseline.

    A = r − b, then b ← α·b + (1−α)·r, completion by completion   (role-conditioned advantage estimation of SPIRAL,
    arXiv 2506.24119; PrimeIntellect-ai/prime-rl:src/prime_rl/orchestrator/algo/rae.py).

    b starts at 0 and is read before the reward enters it. SPIRAL keeps one for each role of a game; a task of one role
    has one, and this is REINFORCE with a moving baseline. Rewards enter in the order of the batch, group by group, so
    that the order of completions matters. Invalid completions are passed over. α = 0: the reward before it.
    State: b.

    >>> from agrae_lab.advantages import make
    >>> advantages, state = make("rae", decay=0.5).step(Tensor([[1, 0, 0, 0]]))
    >>> advantages
    tensor([[ 1.0000, -0.5000, -0.2500, -0.1250]])
    >>> state
    {'rae': 0.0625}
    """

    decay: Annotated[
        float, at_least(0), below(1), "α, the share of b that a reward leaves; 0.95 in arXiv 2506.24119 and prime-rl"
    ] = 0.95

    BREAKS: ClassVar = frozenset({"permutation_equivariant"})

    STATEFUL: ClassVar = True

    def __call__(self, rewards_PG: Tensor, context: Context, state: float | None) -> tuple[Tensor, float]:
        baseline, baselines = state or 0.0, []
        for reward in rewards_PG.flatten().tolist():
            baselines.append(baseline)
            if reward == reward:  # not NaN
                baseline = self.decay * baseline + (1 - self.decay) * reward
        baselines_PG = torch.tensor(baselines, dtype=rewards_PG.dtype, device=rewards_PG.device).view_as(rewards_PG)
        return (rewards_PG - baselines_PG).nan_to_num(nan=0.0), baseline
