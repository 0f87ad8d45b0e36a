"""CurveRL: prompts weighed by how their success rate stands among those of recent batches."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.statistics import centred, is_mixed, success_rate


@link("base", "curve_rl")
@dataclass(frozen=True)
class CurveRL:
    """A = f(p)/F(p) · (r − p)   (arXiv 2605.24331, Algorithm 1;
    zhyzmath/CurveRL:verl/trainer/ppo/core_algos.py).

    f is a histogram of G + 1 bins of the p of recent batches, F its running sum from 0; only 0 < p < 1 are counted.
    A bin of which nothing has been seen has weight 0. The batch at hand enters the histogram after it has been used,
    except while the histogram is empty, as it is at first: then it is its own reference.
    Of a shaped reward, r less the group's mean reward is weighed at the success rate p; p = 0 and p = 1 give 0.
    window: t0, the number of batches kept, a whole number from 1; recommended 10.
    Rewards must lie in [0, 1]. p = 0, p = 1, a lone decided completion: 0. The laws speak of a first batch; with a
    history, a weight of 0 takes the sign as well.
    State: for each batch of the window, the counts of the bins.
    """

    window: int = 10

    name: ClassVar[str]
    MIN_GROUP_SIZE: ClassVar = 2
    STATEFUL: ClassVar = True
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving"})

    def __post_init__(self) -> None:
        if not isinstance(self.window, int) or self.window < 1:
            raise ValueError(
                f"advantage.base.window must be a whole number from 1 (arXiv 2605.24331 has 10), got {self.window}"
            )

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        p_P1 = success_rate(context.accuracy(rewards_PG))
        num_bins = rewards_PG.shape[1] + 1
        bins_P1 = (p_P1.double() * num_bins).floor().long().clamp(max=num_bins - 1)
        counts = torch.bincount(bins_P1[is_mixed(p_P1)], minlength=num_bins)
        history = context.state.get(self.name, [])
        if any(len(past) != num_bins for past in history):
            raise ValueError(
                f"advantage.base {self.name!r} remembers batches of {len(history[0]) - 1} completions a prompt and "
                f"cannot go on with {num_bins - 1}; start a new run"
            )
        context.state[self.name] = [*history, counts.tolist()][-self.window :]
        reference = torch.tensor(history, device=counts.device).sum(dim=0) if history else counts
        if not reference.any():
            reference = counts
        weights = (reference / reference.cumsum(0).clamp(min=1)).to(rewards_PG)
        return centred(rewards_PG) * weights[bins_P1]
