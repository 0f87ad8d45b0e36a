"""GPG: Dr.GRPO's advantage, scaled up for the groups that have no gradient."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, is_tied, num_valid


@link("base", "gpg")
@dataclass(frozen=True)
class GPG(Link):
    """Keep the size of the gradient when many groups of a batch are all correct or all incorrect.

    A = B/(B − M) · (r − mean(r))   (arXiv 2504.02546, F_norm = 1, α = B/(B − M); AMAP-ML/GPG:README.md).

    B is the number of valid completions of the batch, M of those in groups whose rewards are all equal. verl's `gpg`
    has another α, B over the number of rewards other than 0. The source also samples anew until B − M ≥ 0.6·B, which
    belongs to the sampler.
    A group whose rewards are all equal: 0; so is all of a batch without any mixed group.

    >>> from agrae_lab.advantages import make
    >>> make("gpg")(Tensor([[1, 0, 0, 0], [0, 0, 0, 0]]))
    tensor([[ 1.5000, -0.5000, -0.5000, -0.5000],
            [ 0.0000,  0.0000,  0.0000,  0.0000]])
    """

    MIN_GROUP_SIZE: ClassVar = 2
    LAWS: ClassVar = frozenset({"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        n = num_valid(rewards_PG).to(rewards_PG)
        num_mixed = (n * ~is_tied(rewards_PG)).sum()
        return centred(rewards_PG) * n.sum() / num_mixed.clamp(min=1)
