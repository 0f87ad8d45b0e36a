"""OPMD: the log-average-exp of a group's rewards as the baseline."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from torch import Tensor

from agrae_lab.advantages.base.rs_grpo import exponential_excess
from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, above
from agrae_lab.advantages.statistics import centred, num_valid


@link("base", "opmd")
@dataclass(frozen=True)
class OPMD(Link):
    """Train by mirror descent: the baseline is the soft maximum that its objective has, not the mean.

    A = r − τ·log mean(e^{r/τ})   (agentscope-ai/Trinity-RFT:trinity/algorithm/advantage_fn/opmd_advantage.py,
    opmd_baseline="logavgexp").

    τ → ∞ is Dr.GRPO, which is also that code's opmd_baseline="mean"; a small τ compares with the best completion. The
    baseline lies above the mean: ΣA < 0 in a group whose rewards differ.
    All rewards equal, a lone valid completion: 0 (the code gives the reward itself to a group of one).

    >>> from agrae_lab.advantages import make
    >>> make("opmd")(Tensor([[1, 0, 0, 0]]))
    tensor([[ 0.6426, -0.3574, -0.3574, -0.3574]])
    """

    tau: Annotated[float, above(0), "τ, the temperature of the soft maximum; 1 in Trinity-RFT"] = 1.0

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "groups_independent"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        deviations, is_invalid = centred(rewards_PG), rewards_PG.isnan()
        excess_PG, largest_P1 = exponential_excess(deviations / self.tau, is_invalid)
        mean_P1 = excess_PG.nansum(dim=1, keepdim=True) / num_valid(rewards_PG).clamp(min=1)
        baseline_P1 = self.tau * (largest_P1 + mean_P1.log1p())
        return (deviations - baseline_P1).masked_fill(is_invalid, 0.0)
