"""GDPO: each reward component against its group by itself, then added up and whitened."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from agrae_lab.advantages.estimator import Context, link
from agrae_lab.advantages.settings import Link
from agrae_lab.advantages.statistics import centred, num_valid, std_of

EPSILON = 1e-4  # added to both standard deviations, as in TRL
ROUNDING = 1e-6  # smallest spread of a batch's sums that is more than rounding


@link("base", "gdpo")
@dataclass(frozen=True)
class GDPO(Link):
    """Train on several reward components so that none drowns another.

    A = (s − mean_batch(s)) / (std_batch(s) + 1e-4), s = Σ_k w_k·(r_k − mean(r_k)) / (std(r_k) + 1e-4)   (arXiv
    2601.05242; NVlabs/GDPO; TRL's multi_objective_aggregation="normalize_then_sum").

    r_k are the reward components, normalised within the group one by one. Standard deviations are unbiased. The total
    reward only tells which completions are valid.
    A component whose values are all equal in a group adds 0 there; an invalid value (NaN) of one component adds 0 to
    its completion. All components cancel over the whole batch: 0. Each component costs about as much as a GRPO.

    >>> from agrae_lab.advantages import make
    >>> correct, short = Tensor([[1, 0, 0, 0]]), Tensor([[0, 1, 0, 0]])
    >>> make("gdpo")(correct + short, Context(parts={"correct": correct, "short": short}))
    tensor([[ 0.8660,  0.8660, -0.8660, -0.8660]])
    """

    weights: Annotated[
        Mapping[str, float] | None,
        "w_k of arXiv 2601.05242 for every component, as in {outcome: 1, format: 0.5}; null: 1 for each",
    ] = None

    MIN_GROUP_SIZE: ClassVar = 2
    REQUIRES: ClassVar = frozenset({"parts"})
    LAWS: ClassVar = frozenset({"shift_invariant", "zero_sum"})

    def __call__(self, rewards_PG: Tensor, context: Context) -> Tensor:
        parts = context.parts or {}
        weights = dict.fromkeys(parts, 1.0) if self.weights is None else self.weights
        if weights.keys() != parts.keys():
            raise ValueError(
                f"advantage.base.weights must name the reward components, {', '.join(parts)}; got {', '.join(weights)}"
            )
        is_invalid = rewards_PG.isnan()
        total_PG = torch.zeros_like(rewards_PG)
        for part, values_PG in parts.items():
            values_PG = values_PG.to(rewards_PG).masked_fill(is_invalid, math.nan)
            deviations = centred(values_PG)
            std_P1 = std_of(deviations, num_valid(values_PG), ddof=1)
            total_PG = total_PG + weights[part] * deviations / (std_P1 + EPSILON)
        return _whitened(total_PG, is_invalid, rounding=ROUNDING * sum(abs(w) for w in weights.values()))


def _whitened(total_PG: Tensor, is_invalid: Tensor, *, rounding: float) -> Tensor:
    """Whiten over the valid completions of the batch; 0 if they vary by no more than `rounding`."""
    valid = total_PG[~is_invalid]
    if len(valid) < 2 or (std := valid.std()) <= rounding:
        return torch.zeros_like(total_PG)
    return (total_PG - valid.mean()).masked_fill(is_invalid, 0.0) / (std + EPSILON)
