"""Pass@k training: the reward of k completions together, shared out among all sets of k."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link, at_least, whole_from
from agrae_lab.advantages.statistics import all_incorrect_chance, is_correct, num_correct, num_valid


@link("base", "passk_training")
@dataclass(frozen=True)
class PassKTraining(Link):
    """Optimise Pass@k in place of Pass@1.

    A = (1−ρ)/(σ+ε) if correct, (1−ρ − C(f−1, k−1)/C(n−1, k−1))/(σ+ε) if not   (arXiv 2508.10751;
    RUCAIBox/Passk_Training:code/passk_adv.py).

    ρ = 1 − C(f, k)/C(n, k) is Pass@k of a group with f incorrect among n valid completions, σ = √(ρ(1−ρ)). With
    u = 1 − ρ and ε = 0: A = √(u/(1−u)) if correct, −(n−f)/f times that if not. k = 1 is GRPO (ddof 0).
    Exactly 0 where f < k, since every set of k then holds a correct completion, and where all are incorrect; hence in
    a group of no more than k valid completions, and for a lone one. Of a shaped reward accuracy alone counts.

    >>> from agrae_lab.advantages import make
    >>> make("passk_training", k=2)(Tensor([[1, 0, 0, 0]]))
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333]])
    """

    k: Annotated[int, whole_from(1), "k of Pass@k, 4 in arXiv 2508.10751; the group must be larger"] = 4
    epsilon: Annotated[float, at_least(0), "ε, added to σ; 0 in arXiv 2508.10751, 1e-6 in its code"] = 0.0

    OFFICIAL: ClassVar = {"epsilon": 1e-6}
    LAWS: ClassVar = frozenset({"zero_on_ties", "zero_sum", "groups_independent"})

    @property
    def MIN_GROUP_SIZE(self) -> int:
        return self.k + 1

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        correctness_PG = context.correctness(rewards_PG)
        n, c = num_valid(correctness_PG), num_correct(correctness_PG)
        u = all_incorrect_chance(self.k, num_incorrect=n - c, num_total=n)
        sigma = (u * (1 - u)).sqrt()
        # the advantage of an incorrect completion in closed form: the difference above loses digits
        positive = torch.where(sigma > 0, u / (sigma + self.epsilon), 0.0)
        negative = -positive * c / (n - c).clamp(min=1)
        return torch.where(is_correct(correctness_PG), positive, negative).to(rewards_PG)
