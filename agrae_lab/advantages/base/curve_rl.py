"""CurveRL: prompts weighed by the standing of their success rate among recent batches."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, whole_from
from agrae_lab.advantages.statistics import centred, is_mixed, success_rate


@link("base", "curve_rl")
@dataclass(frozen=True)
class CurveRL(Link):
    """Build a curriculum: prompts count by the frequency of their success rate in recent batches.

    A = f(p)/F(p) · (r − p)   (arXiv 2605.24331, Algorithm 1;
    zhyzmath/CurveRL:verl/trainer/ppo/core_algos.py).

    f is a histogram of G + 1 bins of the p of recent batches, F its running sum from 0; only 0 < p < 1 are counted.
    An empty bin has weight 0. A batch enters the histogram after its own advantages; it is its own reference while the
    histogram is empty, as at first.
    Of a shaped reward, r less the group's mean reward is weighed at the success rate p; p = 0 and p = 1 give 0.
    Rewards must lie in [0, 1]. p = 0, p = 1, a lone valid completion: 0. The laws hold for a first batch; with a
    history, a weight of 0 takes the sign as well.
    State: for each batch of the window, the counts of the bins.

    >>> from agrae_lab.advantages import make
    >>> advantages, state = make("curve_rl").step(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    >>> advantages
    tensor([[ 0.7500, -0.2500, -0.2500, -0.2500],
            [ 0.1250,  0.1250,  0.1250, -0.3750]])
    >>> state
    {'curve_rl': [[0, 1, 0, 1, 0]]}
    """

    window: Annotated[int, whole_from(1), "t0, the number of batches kept; arXiv 2605.24331 has 10"] = 10

    MIN_GROUP_SIZE: ClassVar = 2
    STATEFUL: ClassVar = True
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving"})

    def __call__(
        self, rewards_PG: Tensor, context: Context, state: list[list[int]] | None
    ) -> tuple[Tensor, list[list[int]]]:
        p_P1 = success_rate(context.correctness(rewards_PG))
        num_bins = rewards_PG.shape[1] + 1
        bins_P1 = (p_P1.double() * num_bins).floor().long().clamp(max=num_bins - 1)
        counts = torch.bincount(bins_P1[is_mixed(p_P1)], minlength=num_bins)
        history = state or []
        if any(len(past) != num_bins for past in history):
            raise ValueError(
                f"advantage.base {self.name!r} remembers batches of {len(history[0]) - 1} completions a prompt and "
                f"cannot resume with {num_bins - 1}; start a new run"
            )
        reference = torch.tensor(history, device=counts.device).sum(dim=0) if history else counts
        if not reference.any():
            reference = counts
        weights = (reference / reference.cumsum(0).clamp(min=1)).to(rewards_PG)
        return centred(rewards_PG) * weights[bins_P1], [*history, counts.tolist()][-self.window :]
