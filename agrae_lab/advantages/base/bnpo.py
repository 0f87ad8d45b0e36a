"""BNPO: prompts weighed by how rare their success rate is in the batch."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, is_mixed, num_valid, success_rate

LARGEST_WEIGHT = 1e6  # in the authors' code
SMALLEST_VARIANCE = 1e-12  # of the p of a batch; below it they are one value and there is nothing to fit


@link("base", "bnpo")
@dataclass(frozen=True)
class BNPO(Link):
    """Normalise rewards by the density of success rates, whatever their distribution in the batch.

    A = (r − p) · min(1/f(p), 1e6), f the density of Beta(α, β), α = max(1, 1 + a/3), β = max(1, 1 + b/3)   (arXiv
    2506.02864; changyi7231/BNPO:recipe/bnpo/src/bnpo_ray_trainer.py).

    Beta(a, b) has the mean and the (unbiased) variance of the batch's p. Rewards must lie in [0, 1].
    Of a shaped reward, r less the group's mean reward is weighed by f at the success rate p; p = 0 and p = 1 give 0.
    TRL's loss_type="bnpo" is another thing: a way to average the loss.
    Fewer than two prompts, or p the same for all: f = 1, Dr.GRPO. p = 0, p = 1, a lone valid completion: 0.

    >>> from agrae_lab.advantages import make
    >>> make("bnpo")(Tensor([[1, 0, 0, 0], [1, 1, 1, 0]]))
    tensor([[ 0.7166, -0.2389, -0.2389, -0.2389],
            [ 0.2389,  0.2389,  0.2389, -0.7166]])
    """

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "sign_preserving"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        rewards = rewards_PG.double()  # densities of a narrow beta need the digits
        p_P1 = success_rate(context.correctness(rewards))
        density_P1 = _fitted_density(p_P1, p_P1[num_valid(rewards_PG) > 0])
        weight_P1 = torch.where(is_mixed(p_P1), (1 / density_P1).clamp(max=LARGEST_WEIGHT), 0.0)
        return (centred(rewards_PG) * weight_P1).to(rewards_PG)


def _fitted_density(p_P1: Tensor, sample: Tensor) -> Tensor:
    """Return the density at each p of the beta distribution fitted to the `sample` of success rates."""
    if len(sample) < 2 or (variance := sample.var()) < SMALLEST_VARIANCE:
        return torch.ones_like(p_P1)
    mean = sample.mean()
    total = mean * (1 - mean) / variance - 1  # a + b
    alpha, beta = (1 + total * mean / 3).clamp(min=1), (1 + total * (1 - mean) / 3).clamp(min=1)
    log_norm = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)
    return (torch.xlogy(alpha - 1, p_P1) + torch.xlogy(beta - 1, 1 - p_P1) - log_norm).exp()
