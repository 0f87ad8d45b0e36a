"""The shrinkage baseline: a prompt's leave-one-out mean, drawn towards the mean of the other prompts."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least
from agrae_lab.advantages.statistics import centred, group_mean, num_valid, std_of


@link("base", "jspo")
@dataclass(frozen=True)
class JSPO(Link):
    """Reduce the baseline's variance with few completions a prompt: borrow strength from the other prompts.

    A = r − (1−λ)·mean_{j≠i}(r_j) − λ·m, λ = v/(v + s + ε)   (James–Stein shrinkage, arXiv 2511.03710;
    guanning03/JSPO-Official:code/verl/trainer/ppo/core_algos.py, jspo).

    m is the mean of the other prompts' means, s the population variance of these means, and v the mean of the unbiased
    variances of their rewards, each over its number of completions. The prompt itself enters neither, so that the
    baseline does not depend on the completion.
    λ = 0 is RLOO: a batch of one prompt (the code gives NaN), or one whose groups have equal rewards each. λ = 1 has no
    group at all. A prompt solved by all of its completions keeps A > 0 where others are not.
    A lone valid completion: 0; its prompt does not count among the others.

    >>> from agrae_lab.advantages import make
    >>> make("jspo")(Tensor([[1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]]))
    tensor([[ 0.7000, -0.5000, -0.5000, -0.5000],
            [ 0.5147,  0.5147,  0.5147,  0.5147],
            [ 0.6136,  0.6136, -0.6591, -0.6591]])
    """

    epsilon: Annotated[float, at_least(0), "ε, added to the denominator of λ; 1e-6 in the code of arXiv 2511.03710"] = (
        1e-6
    )

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"shift_invariant"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n_P1, deviations = num_valid(rewards_PG).to(rewards_PG), centred(rewards_PG)
        can_compare = n_P1 > 1
        variance_P = (std_of(deviations, n_P1, ddof=1).square() / n_P1.clamp(min=1)).flatten()
        mean_P = group_mean(rewards_PG).flatten()
        is_other_PP = can_compare.T & ~torch.eye(len(rewards_PG), dtype=torch.bool, device=rewards_PG.device)
        shares_PP = is_other_PP.to(rewards_PG) / is_other_PP.sum(dim=1, keepdim=True).clamp(min=1)
        target_P1 = shares_PP @ mean_P[:, None]
        spread_P1 = (shares_PP * (mean_P - target_P1).square()).sum(dim=1, keepdim=True)
        noise_P1 = shares_PP @ variance_P[:, None]
        shrinkage_P1 = torch.where(noise_P1 > 0, noise_P1 / (noise_P1 + spread_P1 + self.epsilon), 0.0)
        leave_one_out = n_P1 / (n_P1 - 1).clamp(min=1) * deviations  # r_i − mean of the others
        advantages = (1 - shrinkage_P1) * leave_one_out + shrinkage_P1 * (rewards_PG - target_P1)
        return torch.where(can_compare & ~rewards_PG.isnan(), advantages, 0.0)
